"""Confidence intervals of accuracies."""

from __future__ import annotations

from statistics import NormalDist


def wilson(correct: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval (0 … 1) of `correct` out of n > 0 (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    The interval speaks about the questions: neither seeds nor samples of one question make it narrower, so `correct`
    may be a mean over them.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = correct / n
    scale = 1 + z * z / n
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    centre = p + z * z / (2 * n)
    # The interval holds p; rounding must not say otherwise at 0 and 1.
    low = max(0.0, (centre - half) / scale)
    high = min(1.0, (centre + half) / scale)
    return min(p, low), max(p, high)
