"""What runs underneath: the run directory, files, Ray, progress, errors, caches, weights."""
