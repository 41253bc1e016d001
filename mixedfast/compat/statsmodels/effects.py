"""Random effects sorted by group, as in statsmodels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import block_diag

from mixedfast.compat.statsmodels.packed import MixedLMParams
from mixedfast.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.compat.statsmodels.protocols import Model

__all__ = ["covariances", "modes"]


def modes(model: Model, slopes: np.ndarray, components: list[np.ndarray]) -> dict[Any, pd.Series]:
    """Collect the conditional means by group.

    Parameters
    ----------
    slopes : (J, k_re) array
    components : list of (q,) arrays
        The effects of each variance component.
    """
    import pandas as pd

    if not components:
        index = pd.Index(model.data.exog_re_names)
        return {
            label: pd.Series(row, index=index)
            for label, row in zip(model.group_labels, slopes, strict=True)
        }
    members = _members(model)
    out = {}
    for g, label in enumerate(model.group_labels):
        own = [
            slopes[g],
            *(values[effects[g]] for values, effects in zip(components, members, strict=True)),
        ]
        out[label] = pd.Series(np.concatenate(own), index=_names(model, members, g))
    return out


def covariances(model: Model, params: MixedLMParams, scale: float) -> dict[Any, pd.DataFrame]:
    """Compute the conditional covariance of each group's random effects given the fixed ones.

    ``scale L (L'Z'ZL + I)^-1 L'`` with L L' the relative covariance: defined for singular ones too.
    Dense within a group.
    """
    import pandas as pd

    if not model.has_data:
        raise DataError("random_effects_cov needs the rows, and remove_data() has removed them")
    values, vectors = (
        np.linalg.eigh(params.cov_re) if model.k_re else (np.empty(0), np.empty((0, 0)))
    )
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    members = _members(model)
    out = {}
    for g, (label, rows) in enumerate(model.row_indices.items()):
        parts = [] if model.exog_re is None else [model.exog_re[rows]]
        roots = [root] if model.k_re else []
        for component, effects, variance in zip(
            model.components, members, params.vcomp, strict=True
        ):
            own = component.codes[rows][:, None] == effects[g]
            parts.append(own if component.z is None else own * component.z[rows][:, None])
            roots.append(np.eye(len(effects[g])) * math.sqrt(variance))
        L = block_diag(*roots)
        ZL = np.hstack(parts) @ L
        conditional = scale * L @ np.linalg.solve(ZL.T @ ZL + np.eye(len(L)), L.T)
        names = _names(model, members, g)
        out[label] = pd.DataFrame(conditional, index=names, columns=names)
    return out


def _members(model: Model) -> list[list[np.ndarray]]:
    """List the effects of each group, for each component."""
    out = []
    for component in model.components:
        order = np.argsort(component.owner, kind="stable")
        ends = np.cumsum(np.bincount(component.owner, minlength=model.n_groups))[:-1]
        out.append(np.split(order, ends))
    return out


def _names(model: Model, members: list[list[np.ndarray]], g: int) -> list[str]:
    names = list(model.data.exog_re_names)
    for component, effects in zip(model.components, members, strict=True):
        names += [f"{component.name}[{label}]" for label in component.labels[effects[g]]]
    return names
