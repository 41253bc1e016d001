"""Results of fits, and the objects that their methods return.

`LMMResult` and `OLSResult` are made by `mixedfast.lmer`, `mixedfast.fit` and `mixedfast.lm`; the
other classes by methods of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfast._memo import lazy_attributes

if TYPE_CHECKING:
    from mixedfast.inference.diagnostics.convergence import Convergence
    from mixedfast.inference.diagnostics.r2_icc import ICC, R2
    from mixedfast.report.plots import Plots
    from mixedfast.report.text import Summary
    from mixedfast.results.bootstrap import Bootstrap
    from mixedfast.results.glmm import GLMMResult
    from mixedfast.results.influence import Influence
    from mixedfast.results.lmm import LMMResult
    from mixedfast.results.marginal_means import MarginalMeans
    from mixedfast.results.mean_contrasts import MeanContrasts
    from mixedfast.results.ols import OLSResult
    from mixedfast.results.profile import Profile
    from mixedfast.results.response_fits import ResponseFits
    from mixedfast.results.simulated import Permutation, Power
    from mixedfast.results.step import Step
    from mixedfast.results.subset_fits import SubsetFits

__all__ = [
    "ICC",
    "R2",
    "Bootstrap",
    "Convergence",
    "GLMMResult",
    "Influence",
    "LMMResult",
    "MarginalMeans",
    "MeanContrasts",
    "OLSResult",
    "Permutation",
    "Plots",
    "Power",
    "Profile",
    "ResponseFits",
    "Step",
    "SubsetFits",
    "Summary",
]

#: The module of each name. It is imported at the first use of the name.
_MODULES = {
    "Bootstrap": "mixedfast.results.bootstrap",
    "Convergence": "mixedfast.inference.diagnostics.convergence",
    "GLMMResult": "mixedfast.results.glmm",
    "ICC": "mixedfast.inference.diagnostics.r2_icc",
    "Influence": "mixedfast.results.influence",
    "LMMResult": "mixedfast.results.lmm",
    "MarginalMeans": "mixedfast.results.marginal_means",
    "MeanContrasts": "mixedfast.results.mean_contrasts",
    "OLSResult": "mixedfast.results.ols",
    "Plots": "mixedfast.report.plots",
    "Profile": "mixedfast.results.profile",
    "R2": "mixedfast.inference.diagnostics.r2_icc",
    "Step": "mixedfast.results.step",
    "ResponseFits": "mixedfast.results.response_fits",
    "Permutation": "mixedfast.results.simulated",
    "Power": "mixedfast.results.simulated",
    "SubsetFits": "mixedfast.results.subset_fits",
    "Summary": "mixedfast.report.text",
}


__getattr__ = lazy_attributes(__name__, _MODULES)


def __dir__() -> list[str]:
    return sorted(__all__)
