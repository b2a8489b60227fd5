"""Algorithm 1 of Li et al. 2024: embed the questions, cluster them, choose one worked example for each cluster."""
