"""The profile of one parameter as a curve: interpolation and interval ends.

The curve is a monotone piecewise cubic through the values and slopes of zeta. Where a slope is
unknown it is PCHIP's. Each piece keeps its slopes between zero and three times its secant, which is
sufficient for monotonicity (Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17); neighbouring pieces
need not agree in their slope, as at a kink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast.inference.intervals.parameters import Parameter

__all__ = ["Trace", "interpolant", "interval_ends"]


@dataclass(frozen=True, eq=False)
class Trace:
    """zeta of one parameter at increasing values.

    Parameters
    ----------
    parameter : Parameter
    value, zeta : (n,) arrays
    slope : (n,) array
        d zeta / d value; NaN where unknown.
    closed : tuple of bool
        For the lower and the upper side: whether the walk ended on the parameter's bound (zero, or
        a correlation of -1 or 1) and not because abs(zeta) was large enough.
    """

    parameter: Parameter
    value: np.ndarray
    zeta: np.ndarray
    slope: np.ndarray
    closed: tuple[bool, bool]


def interpolant(value: np.ndarray, zeta: np.ndarray, slope: np.ndarray) -> Any:
    """Return the monotone piecewise cubic through values and slopes (a SciPy ``PPoly``)."""
    from scipy.interpolate import PchipInterpolator, PPoly

    h, rise = np.diff(value), np.diff(zeta)
    guess = (
        PchipInterpolator(value, zeta).derivative()(value)
        if len(value) > 2
        else np.full(2, rise[0] / h[0])
    )
    slope = np.where(np.isfinite(slope), slope, guess)
    left, right = (np.clip(part, 0.0, 3.0 * rise / h) for part in (slope[:-1], slope[1:]))
    cubic = (left + right - 2.0 * rise / h) / h**2
    square = (3.0 * rise / h - 2.0 * left - right) / h
    return PPoly(np.array([cubic, square, left, zeta[:-1]]), value)


def interval_ends(trace: Trace, quantile: float) -> tuple[float, float]:
    """Return the values at which zeta is -quantile and quantile.

    An end that the curve does not reach is the parameter's bound, or NaN where the walk stopped
    early.
    """
    if len(trace.value) < 2:
        low, high = trace.parameter.bounds
        return low if trace.closed[0] else np.nan, high if trace.closed[1] else np.nan
    curve = interpolant(trace.value, trace.zeta, trace.slope)
    out = []
    for side, target in enumerate((-quantile, quantile)):
        at = -side  # first or last point
        if abs(trace.zeta[at]) >= quantile and np.sign(trace.zeta[at]) == np.sign(target):
            roots = curve.solve(target, extrapolate=False)
            out.append(float(roots[0] if side == 0 else roots[-1]))
        else:
            out.append(trace.parameter.bounds[side] if trace.closed[side] else np.nan)
    return out[0], out[1]
