"""Families and links of generalized linear models (McCullagh and Nelder 1989)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import stored
from mixedfast._validation import did_you_mean
from mixedfast.errors import ArgumentError
from mixedfast.estimation.glmm import _families
from mixedfast.estimation.glmm.cumulative import CUMULATIVE_LINKS, cumulative_rows

__all__ = ["FAMILIES", "LINKS", "Family", "FamilyRows", "family_of"]

#: Families by name, with their default links.
FAMILIES = {
    "binomial": "logit",
    "poisson": "log",
    "nbinom2": "log",
    "Gamma": "log",
    "inverse_gaussian": "log",
    "cumulative": "logit",
}
LINKS = _families.LINKS
#: Link under which the mean is the natural parameter: observed and expected weights are then equal.
_CANONICAL = {"binomial": "logit", "poisson": "log"}
#: Other spellings that users know from R and statsmodels.
_SPELLINGS = {
    "bernoulli": "binomial",
    "logistic": "binomial",
    "gamma": "Gamma",
    "negative_binomial": "nbinom2",
    "inverse.gaussian": "inverse_gaussian",
    "ordinal": "cumulative",
}
#: No further parameters.
_NO_EXTRA = np.zeros(0)


class FamilyRows(NamedTuple):
    """Log likelihoods and derivatives in eta, (n,) each; see csrc/mf_families.h.

    ``l`` without the terms that do not depend on eta; ``s`` = dl/deta; the weights ``w`` = E[h] and
    ``h`` = -d2l/deta2. ``dw`` and ``dh``, their derivatives, where wanted.
    """

    l: np.ndarray  # noqa: E741
    s: np.ndarray
    w: np.ndarray
    h: np.ndarray
    dw: np.ndarray | None = None
    dh: np.ndarray | None = None

    def weights(self, curvature: str) -> np.ndarray:
        """Return the weights of the log determinant: expected or observed."""
        return self.w if curvature == "expected" else self.h

    def weight_slopes(self, curvature: str) -> np.ndarray:
        """Return the derivatives of these weights."""
        found = self.dw if curvature == "expected" else self.dh
        assert found is not None  # only asked of rows with third derivatives
        return found


@stored("Family")
@dataclass(frozen=True)
class Family:
    """A family and its link.

    Parameters
    ----------
    name : str
        One of `FAMILIES`.
    link : str
        One of `LINKS`.
    categories : tuple of str
        Of an ordered response; empty for other families.

    Examples
    --------
    >>> Family("binomial", "logit").mean(np.array([0.0, 2.0])).round(3)
    array([0.5  , 0.881])
    """

    name: str
    link: str
    categories: tuple[str, ...] = ()

    @property
    def is_canonical(self) -> bool:
        """Whether observed and expected weights are the same."""
        return _CANONICAL.get(self.name) == self.link

    @property
    def is_ordered(self) -> bool:
        """Whether the response holds ordered categories, which have no mean."""
        return self.name == "cumulative"

    @property
    def curvature(self) -> str:
        """The weights of the log determinant by default: those of lme4 where it has the family."""
        return "expected" if self.name in _CANONICAL else "observed"

    def rows(
        self,
        eta: np.ndarray,
        y: np.ndarray,
        size: np.ndarray,
        extra: np.ndarray = _NO_EXTRA,
        third: bool = False,
    ) -> FamilyRows:
        """Evaluate the family at linear predictors (n,).

        Parameters
        ----------
        eta : (n,) array
        y, size : (n,) arrays
            See `mixedfast.estimation.glmm.responses.Response`.
        extra : (r,) array
            Parameters of the family; see `mixedfast.estimation.glmm.dispersion`.
        third : bool
            Whether the derivatives of the weights are wanted.
        """
        if self.name == "cumulative":
            own = cumulative_rows(self.link, eta, y, size, extra)
            return FamilyRows(own.l, own.s, own.h, own.h, own.dh, own.dh)
        kappa = float(np.exp(extra[0])) if self.name == "nbinom2" else 0.0
        a = size * np.exp(-extra[0]) if self.name in ("Gamma", "inverse_gaussian") else size
        return FamilyRows(*_families.family_rows(self.name, self.link, eta, y, a, kappa, third))

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Compute means from linear predictors of any shape."""
        return self._inverse(eta)[0]

    def mean_slope(self, eta: np.ndarray) -> np.ndarray:
        """Compute dmu/deta from linear predictors of any shape."""
        return self._inverse(eta)[1]

    def _inverse(self, eta: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(eta, dtype=float)
        return _families.inverse_link(self.link, values.ravel()).reshape(2, *values.shape)

    def variance(self, mu: np.ndarray, extra: np.ndarray = _NO_EXTRA) -> np.ndarray:
        """Compute the variance function V(mu), of one trial where the family is binomial."""
        if self.name == "nbinom2":
            return mu + mu**2 / np.exp(extra[0])
        if self.name == "binomial":
            return mu * (1.0 - mu)
        return np.asarray(mu ** {"poisson": 1, "Gamma": 2, "inverse_gaussian": 3}[self.name])

    def link_of(self, mu: np.ndarray) -> np.ndarray:
        """Compute linear predictors from means."""
        from scipy.special import logit, ndtri

        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "logit": logit,
                "probit": ndtri,
                "cloglog": lambda m: np.log(-np.log1p(-m)),
                "cauchit": lambda m: np.tan(np.pi * (m - 0.5)),
                "log": np.log,
                "inverse": lambda m: 1.0 / m,
                "sqrt": np.sqrt,
                "identity": lambda m: m,
            }[self.link](mu)

    def first_eta(self, y: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Compute linear predictors to start from: those of the data, inside the range."""
        if self.name == "cumulative":
            return np.zeros(len(y))
        mu = (y + 0.5) / (size + 1.0) if self.name == "binomial" else y + 0.1 * (y <= 0.0)
        return np.asarray(self.link_of(mu))

    @cached_property
    def label(self) -> str:
        """Family and link in words, as on printed pages."""
        return f"{self.name} ({self.link})"


def family_of(family: str, link: str | None = None) -> Family:
    """Return the family of this name, with this link or its default.

    Raises
    ------
    ArgumentError
        For an unknown family or link, or a link that the family does not have.

    Examples
    --------
    >>> family_of("binomial").link, family_of("poisson", "sqrt").link
    ('logit', 'sqrt')
    """
    name = _SPELLINGS.get(family, family) if isinstance(family, str) else family
    if not isinstance(name, str) or name not in FAMILIES:
        hint = did_you_mean(family, tuple(FAMILIES), most=1)
        raise ArgumentError(
            f"family={family!r}: {hint + ' C' if hint else 'c'}hoose from {', '.join(FAMILIES)} "
            "(normal responses: mf.lmer)"
        )
    chosen = FAMILIES[name] if link is None else link
    own = list(CUMULATIVE_LINKS) if name == "cumulative" else _links_of(name)
    if chosen not in own:
        hint = did_you_mean(chosen, own, most=1)
        raise ArgumentError(
            f"link={link!r}: {hint + ' T' if hint else 't'}he links of the {name} family are "
            f"{', '.join(own)}"
        )
    return Family(name, chosen)


def _links_of(name: str) -> list[str]:
    return [one for one in LINKS if _families.has_link(name, one)]
