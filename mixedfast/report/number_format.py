"""Formats of numbers on a printed page.

The rules are those of printed tables in R: the numbers of a column have the same number of
decimals, enough for the smallest of them to show the digits wanted. p values too small for double
precision are shown as a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "MISSING",
    "STARS_LEGEND",
    "chop",
    "decimals",
    "p_rounded",
    "p_value",
    "p_values",
    "significant",
    "stars",
]

MISSING = "NA"

#: Smaller tails of t, F and z are printed as a bound: the spacing of doubles at 1.
_SMALLEST_P = 2.0**-52

#: Smaller p values are written with a power of ten, separately from the others of their column.
_SMALLEST_FIXED_P = 1e-4

_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))
STARS_LEGEND = "Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


def significant(values: Sequence[float], digits: int) -> list[str]:
    """Format numbers with common decimals, as few as show `digits` significant digits of each.

    Parameters
    ----------
    values : sequence of float
        NaN is written as ``NA``.
    digits : int
        Significant digits, at least 1. Trailing zeros that the column does not need are left out.

    Returns
    -------
    list of str
        Powers of ten are used only when they are narrower.

    Examples
    --------
    >>> significant([12.7474, 0.075689], 4)
    ['12.74740', '0.07569']
    >>> significant([157.53, 42.0], 5)
    ['157.53', '42.00']
    >>> significant([1.2e-9, float("nan")], 3)
    ['1.2e-09', 'NA']
    """
    shapes = [_shape(value, digits) for value in values if math.isfinite(value)]
    if not shapes:
        return [_unbounded(value) for value in values]
    exponents = [exponent for exponent, _ in shapes]
    after_point = max(max(0, length - 1 - exponent) for exponent, length in shapes)
    in_mantissa = max(length for _, length in shapes) - 1
    fixed_width = max(max(exponents), 0) + 1 + (after_point + 1 if after_point else 0)
    power_width = (
        1 + (in_mantissa + 1 if in_mantissa else 0) + (5 if max(map(abs, exponents)) > 99 else 4)
    )
    code = f".{after_point}f" if fixed_width <= power_width else f".{in_mantissa}e"
    return [f"{value:{code}}" if math.isfinite(value) else _unbounded(value) for value in values]


def _shape(value: float, digits: int) -> tuple[int, int]:
    """Find the power of ten of a number, and how many of its first `digits` digits it needs."""
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    needed = mantissa.replace(".", "").rstrip("0")
    return int(exponent), max(len(needed), 1)


def _unbounded(value: float) -> str:
    return MISSING if math.isnan(value) else ("Inf" if value > 0 else "-Inf")


def decimals(values: Sequence[float], places: int) -> list[str]:
    """Format numbers with a given number of decimals.

    Examples
    --------
    >>> decimals([-0.10926, 0.3], 2)
    ['-0.11', '0.30']
    """
    return [
        f"{round(value, places) + 0.0:.{places}f}" if math.isfinite(value) else _unbounded(value)
        for value in values
    ]


def chop(values: Sequence[float], digits: int) -> list[float]:
    """Round numbers to the decimals that `digits` significant digits of the largest of them show.

    A sum of squares of 41.2 next to one of 44233 becomes 41.

    Examples
    --------
    >>> chop([44233.4, 41.16], 5)
    [44233.0, 41.0]
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    places = math.floor(max(0.0, digits - math.log10(largest)) + 0.5) if largest > 0 else digits
    # adding 0.0 turns -0.0 into 0.0
    return [round(value, places) + 0.0 if math.isfinite(value) else value for value in values]


def p_values(values: Sequence[float], digits: int = 3) -> list[str]:
    """Format the p values of one column.

    Parameters
    ----------
    values : sequence of float
    digits : int

    Examples
    --------
    >>> p_values([1e-30, 0.55065, 0.00454])
    ['< 2e-16', '0.55065', '0.00454']
    >>> p_values([1e-30])
    ['<2e-16']
    """
    shown: dict[int, str] = {}
    for chosen in _p_ranges(values):
        shown.update(zip(chosen, significant([values[i] for i in chosen], digits), strict=True))
    widest = max(map(len, shown.values()), default=0)
    bound = _p_bound(digits, widest)
    return [
        MISSING if math.isnan(value) else shown.get(position, bound)
        for position, value in enumerate(values)
    ]


def _p_ranges(values: Sequence[float]) -> list[list[int]]:
    """Find the positions of the p values shown plainly, and of those shown with a power of ten."""
    plain = [i for i, value in enumerate(values) if value >= _SMALLEST_FIXED_P]
    small = [i for i, value in enumerate(values) if _SMALLEST_P <= value < _SMALLEST_FIXED_P]
    return [plain, small]


def _p_bound(digits: int, widest: int) -> str:
    """Format the bound of a p value of nearly zero, next to others `widest` wide."""
    kept = max(1, digits - 2)
    if widest and kept > 1 and kept + 6 > widest:
        kept = max(1, widest - 7)
    tight = kept == 1 and widest <= 6
    return f"<{'' if tight else ' '}{_SMALLEST_P:.{kept - 1}e}"


def p_value(value: float, digits: int = 4) -> str:
    """Format one p value for running text.

    Examples
    --------
    >>> p_value(0.0), p_value(0.01234567)
    ('< 2.2e-16', '0.01235')
    """
    return p_values([value], digits)[0]


def p_rounded(value: float, equals: bool = False) -> str:
    """Format a p value as papers do: three decimals, or ``< .001``.

    Parameters
    ----------
    value : float
    equals : bool
        Write ``= `` before a number, so that the text follows a "p".

    Examples
    --------
    >>> p_rounded(0.00003), p_rounded(0.0412), p_rounded(0.0412, equals=True)
    ('< .001', '.041', '= .041')
    """
    if math.isnan(value):
        return MISSING
    if value < 0.001:
        return "< .001"
    shown = f"{value:.3f}".removeprefix("0")
    return f"= {shown}" if equals else shown


def stars(value: float) -> str:
    """Choose the stars of a p value; empty when it is not significant.

    Examples
    --------
    >>> stars(0.0004), stars(0.06), stars(0.5)
    ('***', '.', '')
    """
    return next((mark for limit, mark in _STARS if value <= limit), "")
