"""Information about the variance parameters, for Satterthwaite's and Kenward and Roger's methods.

All in the metric V^-1 (docs/maths.md, "What inference needs") with sigma = 1, and in coordinates of
beta where Phi = (X'V^-1 X)^-1 is the identity (``D = Z'V^-1 X L_X^-T``), so that the matrices are
small and well scaled for data in any units. No n x n matrix, no numerical derivative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.estimation.pls import symmetrized
from mixedfast.inference.ddf.trace_methods import PairTraces

__all__ = ["covariance_root", "hessian_theta_sigma", "jackknife_error"]


def covariance_root(fit: LinearFit) -> np.ndarray:
    """Return W (p, p) with Phi_user = sigma^2 W W'."""
    return fit.cp.scaling.beta_transform() @ fit.whitening


def hessian_theta_sigma(fit: Fit, pairs: PairTraces | None = None) -> np.ndarray:
    """Compute the Hessian of the deviance in (theta, sigma / sigma_hat), (m+1, m+1).

    The observed information in closed form, exact if the pair traces are. The row of sigma needs no
    traces of its own: V is linear in the variances and P V P = P, so tr(P V P G) = tr(P G).
    """
    system = fit.system
    cov = fit.covariance
    sigma2 = system.solution.r2 / system.nu
    sums = system.moments(exact=True)
    vv = [m.vv / sigma2 for m in sums]
    trace = system.trace_sums()
    G = [t - w for t, w in zip(trace, vv, strict=True)]
    quadratic, traces = system.quadratic_blocks(), system.trace_blocks(pairs)
    blocks = symmetrized({key: 2.0 * Q / sigma2 - traces[key] for key, Q in quadratic.items()})
    m = cov.n_theta
    out = np.empty((m + 1, m + 1))
    out[:m, :m] = cov.hessian(system.lambdas, G, blocks)
    mixed = cov.gradient(
        system.lambdas, [2.0 * (2.0 * w - t) for t, w in zip(trace, vv, strict=True)]
    )
    out[:m, m] = out[m, :m] = mixed
    out[m, m] = 4.0 * system.nu
    return out


def jackknife_error(without: Sequence[float]) -> float:
    """Compute the jackknife standard error from the values without each batch of probes.

    Tukey (1958). It is 0 when there are no batches.
    """
    if not without:
        return 0.0
    values = np.array(without)
    return float(np.sqrt((len(values) - 1) * values.var()))
