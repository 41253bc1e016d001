"""t tests of all coefficients, by one method for the degrees of freedom or by each of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.errors import NotDefinedError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.methods import DDF, METHODS, boundary_note, t_test

__all__ = ["MethodTests", "coefficient_tests", "tests_by_method"]


class MethodTests(NamedTuple):
    """df (p,) and p values (p,) of the identifiable coefficients by one method.

    NaN where the method is not defined for the design; `note` then says why. At a singular fit it
    says how the method treats variances estimated as zero.
    """

    method: str
    df: np.ndarray
    p_value: np.ndarray
    note: str


def coefficient_tests(
    fit: LinearFit, ddf: DDF = "satterthwaite", level: float = 0.95
) -> dict[str, np.ndarray]:
    """Test every coefficient, (p_all,) each; NaN for columns that could not be identified.

    Returns
    -------
    dict of str to (p_all,) array
        As from `t_test`.
    """
    tests = t_test(fit, np.eye(fit.cp.p), 0.0, ddf, level)
    out = {name: np.full(len(fit.cp.meta.x_names), np.nan) for name in tests}
    for name, values in tests.items():
        out[name][fit.cp.kept] = values
    return out


def tests_by_method(fit: LinearFit, methods: tuple[str, ...] = METHODS) -> list[MethodTests]:
    """Test the identifiable coefficients by several methods."""
    return [_tests_by(fit, method) for method in methods]


def _tests_by(fit: LinearFit, method: str) -> MethodTests:
    """Test the identifiable coefficients by one method; NaN where it is not defined."""
    try:
        tests = t_test(fit, np.eye(fit.cp.p), 0.0, method)
    except NotDefinedError as error:
        unknown = np.full(fit.cp.p, np.nan)
        return MethodTests(method, unknown, unknown, str(error))
    return MethodTests(method, tests["df"], tests["p_value"], boundary_note(fit, method))
