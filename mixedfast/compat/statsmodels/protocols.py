"""A model as its results read it: `MixedLM` by the members that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from mixedfast.compat.statsmodels.components import Component
    from mixedfast.compat.statsmodels.formulas import FixedPart
    from mixedfast.compat.statsmodels.names import ModelData

__all__ = ["Model"]


class Model(Protocol):
    """The data and the description of a model."""

    data: ModelData
    fixed: FixedPart | None
    endog: Any
    endog_names: str
    exog: Any
    exog_re: Any
    k_fe: int
    k_re: int
    k_re2: int
    k_vc: int

    @property
    def components(self) -> tuple[Component, ...]: ...
    @property
    def group_labels(self) -> list[Any]: ...
    @property
    def group_codes(self) -> np.ndarray: ...
    @property
    def n_groups(self) -> int: ...
    @property
    def row_indices(self) -> dict[Any, np.ndarray]: ...
    @property
    def has_data(self) -> bool: ...
    def predict(self, params: Any, exog: Any = None) -> np.ndarray: ...
    def remove_data(self) -> None: ...
