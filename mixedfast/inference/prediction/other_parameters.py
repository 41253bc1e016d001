"""A model with other parameters than those estimated, to simulate from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfast._validation import did_you_mean
from mixedfast.errors import ArgumentError
from mixedfast.estimation.fit import Fit, solve_at

__all__ = ["with_parameters"]

_BLOCKS = ("beta", "theta", "sigma")


def with_parameters(fit: Fit, params: Mapping[str, Any]) -> Fit:
    """Return the same model with other coefficients, theta or sigma.

    Parameters
    ----------
    fit : Fit
    params : mapping
        ``"beta"`` (an array (p,), or name -> value), ``"theta"`` (m,) and ``"sigma"``, or names of
        coefficients. What is not named keeps its estimate.

    Raises
    ------
    ArgumentError
        For an unknown name, a wrong number of values, or a sigma that is not positive.
    """
    if not isinstance(params, Mapping):
        raise ArgumentError(
            f"params={params!r}: give a mapping of coefficients, 'beta', 'theta' or 'sigma' to "
            "values"
        )
    names = fit.cp.x_names
    beta = fit.beta.copy()
    given = params.get("beta", {})
    if not isinstance(given, Mapping):
        beta = _numbers("beta", given, len(names))
        given = {}
    for name, value in (*given.items(), *((k, v) for k, v in params.items() if k not in _BLOCKS)):
        if name not in names:
            hint = did_you_mean(name, names) or f"the coefficients are {', '.join(names)}"
            raise ArgumentError(f"params: there is no coefficient {name!r}: {hint}")
        beta[names.index(name)] = _numbers(str(name), value, 1)[0]
    sigma = float(_numbers("sigma", params.get("sigma", fit.sigma), 1)[0])
    if sigma <= 0.0:
        raise ArgumentError(f"params: sigma is {sigma:g}; it must be positive")
    theta = _numbers("theta", params.get("theta", fit.theta), len(fit.theta))
    other = solve_at(fit.cp, theta, fit.reml, fit.engine_wanted)
    solution = replace(
        other.solution,
        beta=fit.cp.scaling.to_internal_beta(beta),
        r2=(sigma * float(fit.cp.scale[-1])) ** 2 * fit.nu,
    )
    return replace(other, solution=solution)


def _numbers(name: str, value: Any, length: int) -> np.ndarray:
    """Return finite numbers as an array of this length, or raise ArgumentError."""
    try:
        found = np.array(value, dtype=float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"params: {name} is {value!r}, where numbers are needed") from error
    if len(found) != length or not np.isfinite(found).all():
        raise ArgumentError(
            f"params: {name} is {value!r}, where {length} finite "
            f"number{' is' if length == 1 else 's are'} needed"
        )
    return found
