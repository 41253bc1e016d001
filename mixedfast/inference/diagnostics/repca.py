"""Principal components of the random effects: in how many directions groups differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.covariance.relative import lower_root
from mixedfast.estimation.fit import Fit

__all__ = ["Components", "components"]


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of one grouping factor.

    Parameters
    ----------
    group : str
    names : tuple of str, length K
        Names of the random effects.
    sd : (K,) array
        Standard deviations of the components over sigma, in decreasing order.
    rotation : (K, K) array
        One column per component.
    """

    group: str
    names: tuple[str, ...]
    sd: np.ndarray
    rotation: np.ndarray

    @property
    def proportion(self) -> np.ndarray:
        """Shares of the variance, (K,); NaN when all variances are zero."""
        total = (self.sd**2).sum()
        return self.sd**2 / total if total > 0 else np.full(len(self.sd), np.nan)


def components(fit: Fit) -> list[Components]:
    """Compute the principal components of the random effects of each grouping factor.

    These are the singular values and vectors of the relative covariance factor.

    lme4's rePCA (Bates, Kliegl, Vasishth and Baayen 2015, arXiv 1506.04967), for all terms on a
    factor together. The effects are those of the user's columns, so the result depends on the unit
    and the origin of each covariate.
    """
    out = []
    lambdas = fit.covariance.lambdas(fit.theta)
    for group, block in zip(fit.cp.groups, lambdas, strict=True):
        left, sd, _ = np.linalg.svd(lower_root(block))
        turned = left * np.where(
            left[np.abs(left).argmax(axis=0), np.arange(len(sd))] < 0, -1.0, 1.0
        )
        out.append(Components(group.name, group.names, sd, turned))
    return out
