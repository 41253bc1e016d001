"""`LinearFit`: a fitted linear model, with or without random effects.

Tests and predictions read fits by this protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from mixedfast.crossprod.types import CrossProducts

__all__ = ["LinearFit"]


class LinearFit(Protocol):
    """The part that `Fit` and `LeastSquares` have in common.

    Attributes
    ----------
    cp : CrossProducts
        Of the p identifiable columns of X; without groups for a regression.
    reml : bool
    theta : (m,) array
        Empty for a regression.
    beta : (p,) array
        Coefficients of the user's columns.
    vcov : (p, p) array
        Their covariance.
    sigma : float
    nu : int
        Divisor of the residual sum of squares.
    deviance : float
        -2 log likelihood at its maximum; under REML the REML criterion.
    singular_terms : tuple of bool, one per random term
    beta_internal : (p,) array
        Coefficients of the shifted and scaled columns of `cp`, in units of the response.
    whitening : (p, p) array
        W with ``|x W|^2 = x' Phi x`` for a row x of those columns, where sigma^2 Phi is the
        covariance of `beta_internal`.
    """

    @property
    def cp(self) -> CrossProducts: ...
    @property
    def reml(self) -> bool: ...
    @property
    def theta(self) -> np.ndarray: ...
    @property
    def beta(self) -> np.ndarray: ...
    @property
    def vcov(self) -> np.ndarray: ...
    @property
    def sigma(self) -> float: ...
    @property
    def nu(self) -> int: ...
    @property
    def deviance(self) -> float: ...
    @property
    def singular_terms(self) -> tuple[bool, ...]: ...
    @property
    def beta_internal(self) -> np.ndarray: ...
    @property
    def whitening(self) -> np.ndarray: ...
    def memo(self, name: str, make: Callable[[], Any]) -> Any:
        """Return ``make()``, called once per fit."""
        ...
