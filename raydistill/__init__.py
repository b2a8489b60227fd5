"""raydistill: distil the step-by-step reasoning of a large teacher model into small students, end to end, on Ray."""

__version__ = "0.1.0"
