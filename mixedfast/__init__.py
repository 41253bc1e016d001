"""mixedfast: linear mixed-effects models, fitted exactly and fast, with the inference they need.

>>> import mixedfast as mf
>>> m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
>>> m.n_groups
{'school': 160}
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixedfast._version import __version__
from mixedfast.errors import (
    ArgumentError,
    BuildError,
    ConvergenceWarning,
    DataError,
    FormulaError,
    MissingLibraryError,
    MixedFastError,
    NotDefinedError,
    NotIdentifiedError,
    SingularFitWarning,
)

if TYPE_CHECKING:
    from mixedfast._versions import show_versions
    from mixedfast.api import anova, crossproducts, fit, lm, lmer
    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.data.storage import load
    from mixedfast.datasets import list_datasets, load_dataset
    from mixedfast.formula.expressions import allow_in_formulas
    from mixedfast.inference.ddf.trace_methods import KenwardRoger, Satterthwaite
    from mixedfast.report.text import page
    from mixedfast.results import LMMResult

#: Names that live in rooms of their own and are fetched when first asked for: `import mixedfast` stays quick.
_ROOMS = {
    "CrossProducts": "crossprod.types",
    "KenwardRoger": "inference.ddf.trace_methods",
    "LMMResult": "results",
    "Satterthwaite": "inference.ddf.trace_methods",
    "allow_in_formulas": "formula.expressions",
    "anova": "api",
    "crossproducts": "api",
    "fit": "api",
    "lm": "api",
    "lmer": "api",
    "load": "data.storage",
    "list_datasets": "datasets",
    "load_dataset": "datasets",
    "page": "report.text",
    "show_versions": "_versions",
}

__all__ = [
    "ArgumentError",
    "BuildError",
    "ConvergenceWarning",
    "CrossProducts",
    "DataError",
    "FormulaError",
    "KenwardRoger",
    "LMMResult",
    "MissingLibraryError",
    "MixedFastError",
    "NotDefinedError",
    "NotIdentifiedError",
    "Satterthwaite",
    "SingularFitWarning",
    "__version__",
    "allow_in_formulas",
    "anova",
    "crossproducts",
    "fit",
    "list_datasets",
    "lm",
    "lmer",
    "load",
    "load_dataset",
    "page",
    "show_versions",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(
            f"module 'mixedfast' has no attribute {name!r}", name=name, obj=sys.modules[__name__]
        )
    value = getattr(import_module(f"mixedfast.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
