"""Results of fits, and the objects that their methods return.

`LMMResult` and `OLSResult` are made by `mixedfast.lmer`, `mixedfast.fit` and `mixedfast.lm`; the other classes by
methods of these.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixedfast.inference.diagnostics.convergence import Convergence
    from mixedfast.inference.diagnostics.influence import Influence
    from mixedfast.inference.diagnostics.r2_icc import ICC, R2
    from mixedfast.inference.hypotheses.emmeans import MarginalMeans
    from mixedfast.report.plots import Plots
    from mixedfast.report.text import Summary
    from mixedfast.results.bootstrap import Bootstrap
    from mixedfast.results.lmm import LMMResult
    from mixedfast.results.ols import OLSResult
    from mixedfast.results.profile import Profile

__all__ = [
    "ICC",
    "R2",
    "Bootstrap",
    "Convergence",
    "Influence",
    "LMMResult",
    "MarginalMeans",
    "OLSResult",
    "Plots",
    "Profile",
    "Summary",
]

#: The module of each name. It is imported at the first use of the name.
_MODULES = {
    "Bootstrap": "results.bootstrap",
    "Convergence": "inference.diagnostics.convergence",
    "ICC": "inference.diagnostics.r2_icc",
    "Influence": "inference.diagnostics.influence",
    "LMMResult": "results.lmm",
    "MarginalMeans": "inference.hypotheses.emmeans",
    "OLSResult": "results.ols",
    "Plots": "report.plots",
    "Profile": "results.profile",
    "R2": "inference.diagnostics.r2_icc",
    "Summary": "report.text",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
        )
    value = getattr(import_module(f"mixedfast.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
