"""Random effects without pooling: least squares on the rows of each group, without shrinkage."""

from __future__ import annotations

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.estimation.fit import Fit

__all__ = ["unpooled_effects"]

#: The rows of a group do not determine all effects when Z'WZ has an eigenvalue below this fraction
#: of its largest.
_SINGULAR = 1e-8


def unpooled_effects(fit: Fit, g: int) -> np.ndarray:
    """Estimate the random effects of each level of group `g` from its own rows alone.

    ``(Z_j'WZ_j)^-1 Z_j'W (y - X beta - other groups' Z b)``: the limit of the conditional modes as
    the variance of the effects grows. Shrinkage plots show the difference between these and the
    modes (Bates et al. 2015, section 5).

    Parameters
    ----------
    fit : Fit
    g : int
        Position among the grouping factors.

    Returns
    -------
    (J, K) array
        In the user's basis and units; NaN for levels whose rows do not determine all K effects.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> unpooled_effects(m._fit, 0).ravel().round(1)  # batch means around the grand mean
    array([-22.5,   0.5,  36.5, -29.5,  72.5, -57.5])
    """
    cp = fit.cp
    products = cp.groups[g]
    right = products.B[:, :, cp.p] - products.B[:, :, : cp.p] @ fit.solution.beta
    lambdas = fit.covariance.lambdas(fit.theta_internal)
    for h, (v, block) in enumerate(zip(fit.system.v, lambdas, strict=True)):
        if h != g:
            right -= _times(cp, g, h, v @ (block @ block.T))
    values, vectors = np.linalg.eigh(products.A)
    known = values[:, 0] > _SINGULAR * values[:, -1]
    own = np.full(right.shape, np.nan)
    along = np.einsum("jab,ja->jb", vectors[known], right[known])
    own[known] = np.einsum("jab,jb->ja", vectors[known], along / values[known])
    # b_user = T^-1 b_internal, as for the modes
    back = np.linalg.inv(fit.covariance.transforms[g])
    return np.asarray(own @ back.T / cp.scale[-1])


def _times(cp: CrossProducts, g: int, h: int, b: np.ndarray) -> np.ndarray:
    """Compute Z_g'W Z_h b, (J_g, K_g), for b (J_h, K_h)."""
    pair = cp.pairs[min(g, h), max(g, h)]
    out = np.zeros((cp.groups[g].n_levels, cp.groups[g].k))
    if g < h:
        np.add.at(out, pair.rows, np.einsum("iab,ib->ia", pair.data, b[pair.indices]))
    else:
        np.add.at(out, pair.indices, np.einsum("iab,ia->ib", pair.data, b[pair.rows]))
    return out
