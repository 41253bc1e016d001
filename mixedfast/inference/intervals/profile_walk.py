"""The walk along a profile: constrained fits from the estimate outwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from mixedfast.errors import ConvergenceWarning, warn
from mixedfast.inference.intervals.parameters import Parameter
from mixedfast.inference.intervals.zeta_curve import Trace, interpolant

__all__ = ["Evaluate", "walk"]

#: Distance in zeta between neighbouring points. The error of the cubic is of fourth order in it; at
#: 0.7 it is below 1e-4.
_STEP = 0.7
#: Largest ratio of one step to the step before, where the slope suggests a longer one.
_GROWTH = 2.0
_MAX_POINTS = 60
#: A constrained deviance lower than the minimum by more than this (deviance units) shows that the
#: fit was a local optimum.
_BELOW = 1e-4
#: For abs(zeta) below this the slope d'(v) / (2 zeta) is a quotient of two small numbers and is not
#: used.
_NEAR_ZERO = 1e-3
#: The interval of this level gets constrained fits at its ends, at most so many per end; other
#: levels are interpolated.
_USUAL_LEVEL, _REFINEMENTS = 0.95, 2

Evaluate = Callable[[float], "tuple[float, float] | None"]
"""Fixed value -> (deviance, d deviance / d value), or None when the constrained fit fails."""


class _Point(NamedTuple):
    """A point of a profile; ``slope`` is d zeta / d value, NaN where unknown."""

    value: float
    zeta: float
    slope: float


def walk(
    p: Parameter,
    estimate: float,
    width: float,
    evaluate: Evaluate,
    deviance: float,
    cutoff: float,
) -> Trace:
    """Compute zeta on both sides of the estimate, out to `cutoff` or the parameter's bounds.

    Parameters
    ----------
    p : Parameter
    estimate, width : float
        The estimate and a rough standard error, which sets the first step.
    evaluate : callable
        The constrained fit.
    deviance : float
        The smallest deviance.
    cutoff : float
        The abs(zeta) to reach.
    """
    sides = [_side(p, estimate, sign * width, evaluate, deviance, cutoff) for sign in (-1.0, 1.0)]
    (down, down_closed), (up, up_closed) = sides
    points = [*reversed(down), _Point(estimate, 0.0, np.nan), *up]
    value, zeta, slope = (np.array(part, dtype=float) for part in zip(*points, strict=True))
    at = len(down)
    slope[at] = _slope_at_zero(value - estimate, zeta, slope, at)
    return Trace(p, value, zeta, slope, (down_closed, up_closed))


def _side(
    p: Parameter, estimate: float, step: float, evaluate: Evaluate, deviance: float, cutoff: float
) -> tuple[list[_Point], bool]:
    """Return the points from the estimate outwards, and whether a bound ended them."""
    sign = math.copysign(1.0, step)
    bound = p.bounds[0] if sign < 0 else p.bounds[1]
    points: list[_Point] = []
    value, zeta, length = estimate, 0.0, abs(step) * _STEP
    while abs(zeta) < cutoff and len(points) < _MAX_POINTS and value != bound:
        if p.kind == "sigma" and sign < 0:  # sigma cannot be fixed at zero: halve it at most
            length = min(length, 0.5 * value)
        following = value + sign * length
        if sign * (bound - following) < 0.05 * length:  # avoid a tiny last step before the bound
            following = bound
        point = _point(p, following, sign, evaluate, deviance)
        if point is None:
            warn(
                f"the profile of {p.name} stops at {value:.6g}: the next constrained fit failed",
                ConvergenceWarning,
            )
            return points, False
        # zeta cannot fall along the walk but by rounding or a local minimum
        point = point._replace(zeta=sign * max(abs(point.zeta), abs(zeta)))
        points.append(point)
        moved, gained = abs(following - value), abs(point.zeta - zeta)
        value, zeta = following, point.zeta
        wish = (
            _STEP / point.slope if np.isfinite(point.slope) and point.slope > 0 else moved * _GROWTH
        )
        length = float(
            np.clip(wish, 0.2 * moved, moved * (_GROWTH if gained > 0.1 * _STEP else 4.0))
        )
    _refine_end(p, estimate, sign, points, evaluate, deviance)
    return points, value == bound


def _point(
    p: Parameter, value: float, sign: float, evaluate: Evaluate, deviance: float
) -> _Point | None:
    """Compute zeta and its slope at one value; None when the constrained fit fails."""
    found = evaluate(value)
    if found is None:
        return None
    rise = found[0] - deviance
    if rise < -_BELOW:
        warn(
            f"with {p.name} fixed at {value:.6g} the deviance is {-rise:.2g} lower than at the "
            "estimates: the fit is not a global optimum",
            ConvergenceWarning,
        )
    zeta = sign * math.sqrt(max(rise, 0.0))
    return _Point(value, zeta, found[1] / (2.0 * zeta) if abs(zeta) > _NEAR_ZERO else np.nan)


def _refine_end(
    p: Parameter,
    estimate: float,
    sign: float,
    points: list[_Point],
    evaluate: Evaluate,
    deviance: float,
) -> None:
    """Add the end of the usual interval as a point: the profile may have a kink near it."""
    if not points:
        return
    target = sign * NormalDist().inv_cdf(0.5 + 0.5 * _USUAL_LEVEL)
    for _ in range(_REFINEMENTS):
        path = sorted([_Point(estimate, 0.0, np.nan), *points])
        value, zeta, slope = (np.array(part, dtype=float) for part in zip(*path, strict=True))
        roots = interpolant(value, zeta, slope).solve(target, extrapolate=False)
        if not len(roots) or np.abs(value - roots[0]).min() < 1e-4 * np.ptp(value):
            return
        point = _point(p, float(roots[0]), sign, evaluate, deviance)
        inner = [other for other in path if sign * (other.value - roots[0]) < 0][
            -1 if sign > 0 else 0
        ]
        outer = [other for other in path if sign * (other.value - roots[0]) > 0][
            0 if sign > 0 else -1
        ]
        # a failed fit, or one that ended in another local minimum, is no better than the cubic
        if point is None or not abs(inner.zeta) <= abs(point.zeta) <= abs(outer.zeta):
            return
        points.append(point)
        points.sort(key=lambda other: sign * other.value)


def _slope_at_zero(h: np.ndarray, zeta: np.ndarray, slope: np.ndarray, at: int) -> float:
    """Compute d zeta / d value at the estimate from the neighbours' values and slopes.

    By least squares on zeta = a h + b h^2 + ..., h the distance from the estimate.
    """
    near = [i for i in (at - 1, at + 1) if 0 <= i < len(h) and abs(zeta[i]) > _NEAR_ZERO]
    rows, right = [], []
    order = 2 * len(near)
    size = max((abs(h[i]) for i in near), default=1.0)
    for i in near:
        x = h[i] / size
        rows.append([x**k for k in range(1, order + 1)])
        right.append(zeta[i])
        if np.isfinite(slope[i]):
            rows.append([k * x ** (k - 1) for k in range(1, order + 1)])
            right.append(slope[i] * size)
    if not near:
        return np.nan
    return float(np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0][0] / size)
