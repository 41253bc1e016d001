"""The result of backward elimination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from mixedfast.report.protocols import MixedModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Step"]

M = TypeVar("M", bound=MixedModel)


@dataclass(frozen=True, eq=False)
class Step(Generic[M]):
    """A model found by backward elimination, and the tests of its terms.

    Parameters
    ----------
    model : LMMResult
        The model found.
    random : DataFrame
        Likelihood-ratio tests of random terms, as `LMMResult.ranova`, with the column
        ``eliminated``: the place in the order of elimination, 0 for terms that stay.
    fixed : DataFrame
        F tests of fixed terms, as `LMMResult.drop1`, with the same column.
    """

    model: M
    random: pd.DataFrame
    fixed: pd.DataFrame

    def __repr__(self) -> str:
        return "\n\n".join(
            [
                f"Random terms\n{self.random.to_string()}",
                f"Fixed terms\n{self.fixed.to_string()}",
                f"Model found: {self.model.formula}",
            ]
        )
