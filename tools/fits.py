"""Fits of few points, and how far each misses points that it was not told of (leave one out)."""

from collections.abc import Sequence
from math import exp, log

Points = Sequence[tuple[float, float]]


def pooled_exponent(series: Sequence[Points]) -> float:
    """The exponent of y = scale x^exponent, by least squares of logarithms; each series has its own scale."""
    products = squares = 0.0
    for points in series:
        xs, ys = [log(x) for x, _ in points], [log(y) for _, y in points]
        x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
        products += sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
        squares += sum((x - x_mean) ** 2 for x in xs)
    return products / squares


def scale_of(points: Points, exponent: float) -> float:
    """The scale of one series: the geometric mean."""
    return exp(sum(log(y / x**exponent) for x, y in points) / len(points))


def power_errors(series: Sequence[Points]) -> tuple[float, float]:
    """The largest ratio by which the pooled power law misses a point, fitted to all and to all but it; both >= 1."""
    exponent = pooled_exponent(series)
    residual = left_out = 0.0
    for i, points in enumerate(series):
        for j, (x, y) in enumerate(points):
            residual = max(residual, abs(log(y / (scale_of(points, exponent) * x**exponent))))
            rest = [*points[:j], *points[j + 1 :]]
            without = pooled_exponent([*series[:i], rest, *series[i + 1 :]])
            left_out = max(left_out, abs(log(y / (scale_of(rest, without) * x**without))))
    return exp(residual), exp(left_out)


def line(points: Points) -> tuple[float, float]:
    """Constant and slope of the straight line with the least squares of relative errors."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    y_mean = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    slope = sum(w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, points, strict=True))
    slope /= sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    return y_mean - slope * x_mean, slope


def line_errors(points: Points) -> tuple[float, float]:
    """As `power_errors`, of a straight line."""
    constant, slope = line(points)
    residual = max(abs(log(y / (constant + slope * x))) for x, y in points)
    left_out = 0.0
    for j, (x, y) in enumerate(points):
        constant, slope = line([*points[:j], *points[j + 1 :]])
        left_out = max(left_out, abs(log(y / (constant + slope * x))))
    return exp(residual), exp(left_out)
