"""`LinearFit`: a fitted linear model, with or without random effects.

Tests and predictions read fits by this protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.interface import Engine

if TYPE_CHECKING:
    from typing import TypeGuard

__all__ = ["GeneralizedFit", "LinearFit", "is_generalized"]


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


class GeneralizedFit(LinearFit, Protocol):
    """The fit of a generalized linear mixed model, a `LinearFit` on the scale of the link.

    See `mixedfast.estimation.glmm.fit.GLMMFit`, imported only where such a model is fitted.
    """

    @property
    def family(self) -> Any: ...
    @property
    def extra(self) -> np.ndarray: ...
    @property
    def curvature(self) -> str: ...
    @property
    def n_agq(self) -> int: ...
    @property
    def response_sums(self) -> np.ndarray: ...
    @property
    def lambdas(self) -> list[np.ndarray]: ...
    @property
    def modes_internal(self) -> tuple[np.ndarray, ...]: ...
    @property
    def solved(self) -> Engine: ...


def is_generalized(fit: LinearFit) -> TypeGuard[GeneralizedFit]:
    """Return whether a fit is of a generalized linear mixed model."""
    return hasattr(fit, "family")
