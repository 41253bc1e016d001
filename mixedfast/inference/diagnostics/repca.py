"""Principal components of the random effects: how many directions the groups really differ in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.covariance.relative import lower_root
from mixedfast.estimation.fit import Fit

__all__ = ["Components", "components"]


@dataclass(frozen=True, eq=False)
class Components:
    """Of one grouping factor: ``sd`` (K,), relative to sigma and falling; ``rotation`` (K,K), one column a component."""

    group: str
    names: tuple[str, ...]
    sd: np.ndarray
    rotation: np.ndarray

    @property
    def proportion(self) -> np.ndarray:
        """Shares of the variance, (K,); NaN when there is none."""
        total = (self.sd**2).sum()
        return self.sd**2 / total if total > 0 else np.full(len(self.sd), np.nan)


def components(fit: Fit) -> list[Components]:
    """Singular values and vectors of each grouping factor's relative covariance factor, all terms on it together.

    What lme4 calls rePCA (Bates, Kliegl, Vasishth and Baayen 2015, arXiv 1506.04967). The covariance is that of the effects
    as the user wrote them, so that it depends on the units and the zero of each covariate.
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
