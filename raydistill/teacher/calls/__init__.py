"""What one actor buys: each sample once, within the limits, whatever the endpoint does; no Ray, no questions."""
