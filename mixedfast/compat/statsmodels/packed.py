"""The containers of statsmodels for parameters and variance components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast.errors import DataError

__all__ = ["MixedLMParams", "VCSpec"]


@dataclass(eq=False)
class VCSpec:
    """Variance components given as matrices.

    Parameters
    ----------
    names : list of str
        One a component.
    colnames : list of list of list of str
        ``colnames[k][i]`` names the columns of ``mats[k][i]``.
    mats : list of list of (n_i, c) arrays or sparse matrices
        ``mats[k][i]`` belongs to component k and group i, groups in sorted order, rows in the order
        of the data.
    """

    names: list[str]
    colnames: list[list[list[str]]]
    mats: list[list[Any]]


class MixedLMParams:
    """Fixed effects, covariance of the random effects and variance components.

    Also the mask that ``fit(free=...)`` takes.

    Parameters
    ----------
    k_fe, k_re, k_vc : int
        How many there are of each.

    Attributes
    ----------
    fe_params : (k_fe,) array
    cov_re : (k_re, k_re) array
    vcomp : (k_vc,) array

    Examples
    --------
    >>> params = MixedLMParams.from_components([1.0], cov_re=np.eye(2))
    >>> params.get_packed(use_sqrt=False, has_fe=True)
    array([1., 1., 0., 1.])
    """

    def __init__(self, k_fe: int, k_re: int, k_vc: int) -> None:
        self.k_fe, self.k_re, self.k_vc = k_fe, k_re, k_vc
        self.k_re2 = k_re * (k_re + 1) // 2
        self.k_tot = k_fe + self.k_re2 + k_vc
        self.fe_params: np.ndarray = np.zeros(k_fe)
        self.cov_re: np.ndarray = np.eye(k_re)
        self.vcomp: np.ndarray = np.ones(k_vc)

    @classmethod
    def from_components(
        cls,
        fe_params: Any = None,
        cov_re: Any = None,
        cov_re_sqrt: Any = None,
        vcomp: Any = None,
    ) -> MixedLMParams:
        """Pack the parts; ``cov_re_sqrt`` is a lower Cholesky factor of ``cov_re``."""
        fixed = np.asarray([] if fe_params is None else fe_params, dtype=float)
        components = np.asarray([] if vcomp is None else vcomp, dtype=float)
        if cov_re_sqrt is not None:
            root = np.asarray(cov_re_sqrt, dtype=float)
            cov_re = root @ root.T
        matrix = (
            np.empty((0, 0)) if cov_re is None else np.atleast_2d(np.asarray(cov_re, dtype=float))
        )
        out = cls(len(fixed), len(matrix), len(components))
        out.fe_params, out.cov_re, out.vcomp = fixed, matrix, components
        return out

    @classmethod
    def from_packed(
        cls, params: Sequence[float], k_fe: int, k_re: int, use_sqrt: bool, has_fe: bool
    ) -> MixedLMParams:
        """Unpack one vector: fixed effects (with `has_fe`), lower triangle by rows, components.

        With `use_sqrt` the triangle is a Cholesky factor and the components are square roots.
        """
        values = np.asarray(params, dtype=float)
        start = k_fe if has_fe else 0
        stop = start + k_re * (k_re + 1) // 2
        if len(values) < stop:
            raise DataError(
                f"{len(values)} packed parameters are too few for {k_fe} fixed effects and {k_re} "
                "random effects"
            )
        triangle = np.zeros((k_re, k_re))
        triangle[np.tril_indices(k_re)] = values[start:stop]
        if use_sqrt:
            cov, components = triangle @ triangle.T, values[stop:] ** 2
        else:
            cov, components = triangle + np.tril(triangle, -1).T, values[stop:]
        return cls.from_components(
            values[:k_fe] if has_fe else np.zeros(k_fe), cov_re=cov, vcomp=components
        )

    def copy(self) -> MixedLMParams:
        return self.from_components(
            self.fe_params.copy(), self.cov_re.copy(), None, self.vcomp.copy()
        )

    def get_packed(self, use_sqrt: bool, has_fe: bool = False) -> np.ndarray:
        """Pack the parameters into one vector for `from_packed`."""
        triangle, components = self.cov_re, self.vcomp
        if use_sqrt:
            from mixedfast.covariance.relative import lower_cholesky

            values, vectors = (
                np.linalg.eigh(self.cov_re) if self.k_re else (np.empty(0), np.empty((0, 0)))
            )
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            triangle = lower_cholesky(root) if self.k_re else root
            components = np.sqrt(self.vcomp)
        parts = [self.fe_params] if has_fe else []
        return np.concatenate([*parts, triangle[np.tril_indices(self.k_re)], components])
