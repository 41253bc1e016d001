"""Responses of generalized linear models: counts, trials, weights, and what a family allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.errors import DataError
from mixedfast.estimation.glmm.families import Family

__all__ = ["Response", "response_of"]

#: A count may differ from a whole number by this much, relative to it or to one: a proportion times
#: its trials rounds.
_WHOLE = 1e-6
#: More ordered categories than this are a continuous response.
_MOST_CATEGORIES = 50


@dataclass(frozen=True, eq=False)
class Response:
    """The response of a generalized linear model, as the family reads it.

    Parameters
    ----------
    y : (n,) array
        Binomial: weighted successes. Others: the response.
    size : (n,) array
        Binomial: weighted trials. Others: weights.
    observed : (n,) array
        On the scale of the mean: proportions where the family is binomial, else the response.
    trials, weights : (n,) array or None
        As they were given.
    constant : float
        Sum of the terms of the log likelihood that depend on the data alone. Those with parameters
        of the family: `mixedfast.estimation.glmm.dispersion.constant_of`.
    """

    y: np.ndarray
    size: np.ndarray
    observed: np.ndarray
    trials: np.ndarray | None
    weights: np.ndarray | None
    constant: float

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)


def response_of(
    family: Family,
    name: str,
    y: np.ndarray,
    trials: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Response:
    """Make the response of a family, and check that the family allows it.

    Parameters
    ----------
    family : Family
    name : str
        Of the response, for messages.
    y : (n,) array
        Binomial: 0 and 1, or successes out of `trials`, or proportions of as many trials as
        `weights` say. Poisson and nbinom2: counts. Gamma and inverse_gaussian: positive numbers.
        Cumulative: numbers of ordered categories.
    trials : (n,) array, optional
        Whole numbers; binomial only.
    weights : (n,) array, optional
        Each row counts as often: its log likelihood is multiplied by its weight.

    Returns
    -------
    Response

    Raises
    ------
    DataError
        Names the response and the first row at fault, and says what is allowed.
    """
    if family.name == "binomial":
        return _binomial(name, y, trials, weights)
    if trials is not None:
        raise DataError(
            f"trials= is for family='binomial', and the family is {family.name!r}: an exposure is "
            "an offset, offset(log(exposure))"
        )
    size = np.ones(len(y)) if weights is None else weights
    if family.name in ("Gamma", "inverse_gaussian"):
        _refuse(name, y, y <= 0, "is not positive", "numbers above 0")
        return Response(y, size, y, None, weights, 0.0)
    if family.name == "cumulative":
        codes = _categories(name, y)
        return Response(codes, size, codes, None, weights, 0.0)
    _refuse(name, y, (y < 0) | ~_is_whole(y), "is not a count", "whole numbers from 0")
    from scipy.special import gammaln

    constant = -float(size @ gammaln(y + 1.0)) if family.name == "poisson" else 0.0
    return Response(y, size, y, None, weights, constant)


def _categories(name: str, y: np.ndarray) -> np.ndarray:
    """Code the ordered values of a response as 0, 1, 2 and so on."""
    values, codes = np.unique(y, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"the response {name!r} has one category only: {values[0]:g}")
    if len(values) > _MOST_CATEGORIES:
        raise DataError(
            f"the response {name!r} has {len(values)} different values: family='cumulative' is for "
            f"at most {_MOST_CATEGORIES} ordered categories"
        )
    return codes.astype(float)


def _binomial(
    name: str, y: np.ndarray, trials: np.ndarray | None, weights: np.ndarray | None
) -> Response:
    from scipy.special import gammaln

    _refuse(name, y, y < 0, "is negative", "0 and 1, or successes out of trials=")
    if trials is None and not _is_whole(y).all():  # proportions
        _refuse(name, y, y > 1, "is above 1", "proportions, or whole numbers of successes")
        if weights is None:
            at = int(np.argmin(_is_whole(y)))
            raise DataError(
                f"the response {name!r} holds proportions ({y[at]:g} in row {at}): give the "
                "number of trials of each row as weights=, or successes with trials="
            )
        counts = y * weights
        _refuse(
            name,
            y,
            ~(_is_whole(counts) & _is_whole(weights)),
            "times its weight is not a whole number",
            "proportions of as many trials as weights= say, such as 0.25 of 8",
        )
        trials, y, weights = np.round(weights), np.round(counts), None
        given = None
        multiple = np.ones(len(y))
    else:
        given = trials
        multiple = np.ones(len(y)) if weights is None else weights
        if trials is None:
            trials = np.ones(len(y))
            _refuse(name, y, y > 1, "is above 1", "0 and 1, or give trials=")
    _refuse("trials", trials, (trials <= 0) | ~_is_whole(trials), "is not", "whole numbers from 1")
    _refuse(name, y, ~_is_whole(y), "is not a whole number of successes", "counts out of trials=")
    _refuse(name, y, y > trials, "is larger than its trials", "at most as many successes as trials")
    choose = gammaln(trials + 1.0) - gammaln(y + 1.0) - gammaln(trials - y + 1.0)
    return Response(
        multiple * y, multiple * trials, y / trials, given, weights, float(multiple @ choose)
    )


def _is_whole(values: np.ndarray) -> np.ndarray:
    return np.abs(values - np.round(values)) <= _WHOLE * np.maximum(1.0, np.abs(values))


def _refuse(name: str, values: np.ndarray, wrong: np.ndarray, fault: str, allowed: str) -> None:
    """Raise DataError where a value is wrong; the message shows the first."""
    if not wrong.any():
        return
    at = int(np.argmax(wrong))
    count = int(wrong.sum())
    more = f" ({count} rows)" if count > 1 else ""
    subject = name if name == "trials" else f"the response {name!r}"
    raise DataError(
        f"{subject}: the value {values[at]:g} of complete row {at} {fault}{more}; allowed are "
        f"{allowed}"
    )
