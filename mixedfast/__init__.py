"""mixedfast: linear mixed-effects models, fitted exactly and fast, with the inference they need.

>>> import mixedfast as mf
>>> m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
>>> m.n_groups
{'school': 160}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfast._memo import lazy_attributes
from mixedfast._versions import __version__
from mixedfast.errors import (
    ArgumentError,
    BuildError,
    ConvergenceWarning,
    DataError,
    DataWarning,
    FormulaError,
    MissingLibraryError,
    MixedFastError,
    MixedFastWarning,
    NotDefinedError,
    NotIdentifiedError,
    SingularFitWarning,
)

if TYPE_CHECKING:
    from mixedfast._versions import show_versions
    from mixedfast.api import anova, crossproducts, fit, lm, lmer
    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.data.read_table import read_table
    from mixedfast.datasets import list_datasets, load_dataset
    from mixedfast.formula.expressions import allow_in_formulas
    from mixedfast.generalized import glmer
    from mixedfast.inference.ddf.trace_methods import KenwardRoger, Satterthwaite
    from mixedfast.report.model_table import table
    from mixedfast.report.text import page
    from mixedfast.results import LMMResult
    from mixedfast.results.pooled import pool
    from mixedfast.results.saved import load
    from mixedfast.simulations import permute, power
    from mixedfast.subsets import lmer_by

#: The module of each name. It is imported at the first use of the name, so that `import mixedfast`
#: stays quick.
_MODULES = {
    "CrossProducts": "mixedfast.crossprod.types",
    "KenwardRoger": "mixedfast.inference.ddf.trace_methods",
    "LMMResult": "mixedfast.results",
    "Satterthwaite": "mixedfast.inference.ddf.trace_methods",
    "allow_in_formulas": "mixedfast.formula.expressions",
    "anova": "mixedfast.api",
    "crossproducts": "mixedfast.api",
    "fit": "mixedfast.api",
    "glmer": "mixedfast.generalized",
    "lm": "mixedfast.api",
    "lmer": "mixedfast.api",
    "lmer_by": "mixedfast.subsets",
    "load": "mixedfast.results.saved",
    "list_datasets": "mixedfast.datasets",
    "load_dataset": "mixedfast.datasets",
    "page": "mixedfast.report.text",
    "permute": "mixedfast.simulations",
    "pool": "mixedfast.results.pooled",
    "power": "mixedfast.simulations",
    "read_table": "mixedfast.data.read_table",
    "show_versions": "mixedfast._versions",
    "table": "mixedfast.report.model_table",
}

__all__ = [
    "ArgumentError",
    "BuildError",
    "ConvergenceWarning",
    "CrossProducts",
    "DataError",
    "DataWarning",
    "FormulaError",
    "KenwardRoger",
    "LMMResult",
    "MissingLibraryError",
    "MixedFastError",
    "MixedFastWarning",
    "NotDefinedError",
    "NotIdentifiedError",
    "Satterthwaite",
    "SingularFitWarning",
    "__version__",
    "allow_in_formulas",
    "anova",
    "crossproducts",
    "fit",
    "glmer",
    "list_datasets",
    "lm",
    "lmer",
    "lmer_by",
    "load",
    "load_dataset",
    "page",
    "permute",
    "pool",
    "power",
    "read_table",
    "show_versions",
    "table",
]


def _hint(name: str) -> str:
    """Return where a function of R or statsmodels is to be found, for the error."""
    from mixedfast.results.foreign_names import FUNCTIONS

    return f": use {FUNCTIONS[name]}" if name in FUNCTIONS else ""


__getattr__ = lazy_attributes(__name__, _MODULES, _hint)


def __dir__() -> list[str]:
    return sorted(__all__)
