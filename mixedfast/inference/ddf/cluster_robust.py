"""Cluster-robust covariance of the fixed effects, with the df of its t and F tests.

Bell and McCaffrey (2002, Survey Methodology 28): CR2, CR3 and Satterthwaite's df; Pustejovsky and
Tipton (2018, JBES 36): CR2 with a working covariance, and the joint test HTZ. Per cluster with rows
X, residuals e and working covariance V (that of the fit):

    u = X'V^-1 A e,  V_CR = Phi (sum u u') Phi,  Phi = (sum X'V^-1 X)^-1

CR0: A = I. CR1, CR1p and CR1S: the same times m/(m-1), m/(m-p) and m(N-1)/((m-1)(N-p)). CR3:
A = (I - X Phi X'V^-1)^-1. CR2: A (V - X Phi X') A' = V with A V symmetric.

Rows are not needed: in a basis of the span of [Z X] in a cluster, A is a small matrix, and outside
of this span A = I and X has nothing. All is computed in coordinates in which Phi = I and sigma = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod.cluster_sums import SPAN_TOLERANCE, ClusterSums
from mixedfast.errors import NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.information import covariance_root

__all__ = ["KINDS", "ClusterRobust", "cluster_robust"]

#: Kinds of the estimator, by the names of the package clubSandwich.
KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
#: Eigenvalues of I - (leverage of a cluster) below this are zero: the cluster alone determines a
#: coefficient, and its residuals in that direction are zero.
LEVERAGE_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class ClusterRobust:
    """A cluster-robust covariance of one fit, as a value of ``ddf=``.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    cluster : str
    n_clusters : int
    u : (m, p) array
        Scores of the clusters, in whitened coordinates.
    D : (m, p, p) array
        Q'VQ with Q = A'V^-1 X.
    G : (m, p, p) array
        X'Q.
    factor : float
        Multiplies the covariance.
    """

    kind: str
    cluster: str
    n_clusters: int
    u: np.ndarray
    D: np.ndarray
    G: np.ndarray
    factor: float

    def __str__(self) -> str:
        return f"{self.kind} by {self.cluster}"

    @property
    def meat(self) -> np.ndarray:
        """The covariance of the coefficients in whitened coordinates, (p, p)."""
        return self.factor * (self.u.T @ self.u)

    def vcov(self, fit: LinearFit) -> np.ndarray:
        """Compute the covariance of the coefficients in the user's basis, (p, p)."""
        root = covariance_root(fit)
        return np.asarray(root @ self.meat @ root.T)

    def std_errors(self, fit: LinearFit, L: np.ndarray) -> np.ndarray:
        """Compute standard errors of rows L (r, p)."""
        rows = L @ covariance_root(fit)
        return np.sqrt(self.factor * ((rows @ self.u.T) ** 2).sum(axis=1))

    def df(self, fit: LinearFit, contrast: np.ndarray) -> float:
        """Compute Satterthwaite's df of a contrast (p,): those of the joint test of one row."""
        return self._eta(contrast[None] @ covariance_root(fit))

    def wald(self, fit: LinearFit, L: np.ndarray, difference: np.ndarray) -> float:
        """Compute the Wald statistic of independent rows L (q, p).

        Raises
        ------
        NotDefinedError
            When there are fewer clusters than the test needs.
        """
        rows = L @ covariance_root(fit)
        U, size, _ = np.linalg.svd(rows @ self.u.T * np.sqrt(self.factor), full_matrices=False)
        if len(size) < len(L) or size[-1] <= 1e-10 * size[0]:
            raise NotDefinedError(
                f"a joint test of {len(L)} rows with {self}: the scores of {self.n_clusters} "
                "clusters leave a combination without variance; test fewer rows"
            )
        return float((((U.T @ difference) / size) ** 2).sum())

    def factor_and_df(self, fit: LinearFit, L: np.ndarray) -> tuple[float, float]:
        """Compute the factor of F and the df of the test HTZ of independent rows L (q, p)."""
        q = len(L)
        eta = self._eta(L @ covariance_root(fit))
        if eta <= q - 1:
            return np.nan, np.nan
        return (eta - q + 1) / eta, eta - q + 1

    def _eta(self, rows: np.ndarray) -> float:
        """Compute the df of the Wishart matrix that matches the variance of the estimator."""
        q = len(rows)
        a = np.einsum("sp,mpr,tr->mst", rows, self.D, rows)
        g = np.einsum("mpr,sr->msp", self.G, rows)
        omega = a.sum(axis=0) - np.einsum("msp,mtp->st", g, g)
        size, vectors = np.linalg.eigh(omega)
        if size[0] <= 1e-10 * size[-1]:
            return np.nan
        half = (vectors / np.sqrt(size)) @ vectors.T
        a = half @ a @ half
        g = np.einsum("us,msp->mup", half, g)
        gamma = np.einsum("msp,mtp->mst", g, g)
        W = np.einsum("msp,mtr->stpr", g, g)
        total = 0.0
        for s in range(q):
            for t in range(q):
                total += float(
                    (
                        a[:, s, t] ** 2
                        + a[:, s, s] * a[:, t, t]
                        - 2.0 * a[:, s, t] * gamma[:, s, t]
                        - a[:, s, s] * gamma[:, t, t]
                        - a[:, t, t] * gamma[:, s, s]
                    ).sum()
                )
                total += float((W[t, s] * W[t, s].T).sum() + (W[s, t] * W[t, s].T).sum())
        return q * (q + 1) / total


def cluster_robust(fit: LinearFit, sums: ClusterSums, kind: str, cluster: str) -> ClusterRobust:
    """Compute a cluster-robust covariance.

    Parameters
    ----------
    fit : LinearFit
    sums : ClusterSums
        Of the rows of the fit.
    kind : str
    cluster : str
        Name of the clusters.

    Raises
    ------
    NotDefinedError
        When there are too few clusters, or sums have too few digits for the residuals.
    """
    p, m, n = fit.cp.p, sums.n, fit.cp.n
    needed = p if kind == "CR1p" else 1
    if m <= needed:
        raise NotDefinedError(f"{kind} needs more than {needed} clusters, and {cluster!r} has {m}")
    if isinstance(fit, Fit) and fit.remainder is not None:
        raise NotDefinedError(
            f"{kind}: the residuals are so small compared with the response that sums by cluster "
            "do not have their digits; centre and rescale the response"
        )
    lambdas = fit.covariance.lambdas(fit.theta_internal) if isinstance(fit, Fit) else []
    u, D, G = np.zeros((m, p)), np.zeros((m, p, p)), np.zeros((m, p, p))
    for chosen, gram, factors in sums.batches():
        u[chosen], D[chosen], G[chosen] = _of_batch(fit, gram, [lambdas[g] for g in factors], kind)
    factor = {
        "CR1": m / (m - 1),
        "CR1p": m / (m - p) if m > p else np.nan,
        "CR1S": m * (n - 1) / ((m - 1) * (n - p)),
    }.get(kind, 1.0)
    return ClusterRobust(kind, cluster, m, u, D, G, factor)


def _of_batch(
    fit: LinearFit, gram: np.ndarray, lambdas: list[np.ndarray], kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute u, D and G of clusters with Gram matrices (b, q+p+1, q+p+1) of [Z X y]."""
    from scipy.linalg import block_diag

    p = fit.cp.p
    q = gram.shape[1] - p - 1
    unit = fit.cp.scale[-1]
    beta = fit.beta_internal * unit
    columns, response = gram[:, :-1, :-1], gram[:, :-1, -1]
    moments = (response - columns[:, :, q:] @ beta) / unit
    diagonal = np.diagonal(columns, axis1=1, axis2=2)
    scale = np.where(diagonal > 0.0, 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0)), 1.0)
    w, U = np.linalg.eigh(columns * scale[:, :, None] * scale[:, None, :])
    there = w > SPAN_TOLERANCE * w[:, -1:]
    root = np.sqrt(np.where(there, w, 0.0))
    inverse = np.where(there, 1.0 / np.where(there, root, 1.0), 0.0)
    basis = root[:, :, None] * U.swapaxes(1, 2) / scale[:, None, :]
    e = inverse * np.einsum("bij,bi->bj", U, scale * moments)
    Z = basis[:, :, :q] @ block_diag(*lambdas) if q else np.zeros((*basis.shape[:2], 0))
    X = basis[:, :, q:] @ fit.whitening
    V = np.eye(q + p) + Z @ Z.swapaxes(1, 2)
    H = X @ X.swapaxes(1, 2)
    VX = np.linalg.solve(V, X)
    if kind == "CR2":
        C = np.linalg.cholesky(V)
        # A V^-1-weighted: with the columns of C, A = C (C'(V - H)C)^(-1/2) C'
        size, vectors = np.linalg.eigh(C.swapaxes(1, 2) @ (V - H) @ C)
        free = size > LEVERAGE_TOLERANCE * size[:, -1:]
        power = np.where(free, 1.0 / np.sqrt(np.where(free, size, 1.0)), 0.0)
        middle = (vectors * power[:, None, :]) @ vectors.swapaxes(1, 2)
        Q = C @ middle @ C.swapaxes(1, 2) @ VX
    elif kind == "CR3":
        # A = V (V - H)^-1, and Q = A'V^-1 X = (V - H)^-1 X
        Q = np.linalg.pinv(V - H, rcond=LEVERAGE_TOLERANCE, hermitian=True) @ X
    else:
        Q = VX
    scores = np.einsum("bip,bi->bp", Q, e)
    return scores, Q.swapaxes(1, 2) @ V @ Q, X.swapaxes(1, 2) @ Q
