"""The arguments that a function passes on to the one that sums the cross-products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from mixedfast._progress import Show
from mixedfast.formula.parser import ModelSpec

__all__ = ["Request"]


@dataclass(frozen=True, eq=False)
class Request:
    """A model, its data and the options for reading them; see `mixedfast.crossproducts`.

    Parameters
    ----------
    spec : ModelSpec
    data : data frame, mapping of arrays, path, batches or lazy frame
    weights, offset : str or array, optional
    contrasts : mapping, optional
    na_action : {"omit", "exclude", "raise"}
    threads : int, optional
    levels : mapping of str to sequence, optional
        The levels of categorical columns, where they are known beforehand.
    checkpoint : path, optional
    progress : {"auto", True, False}
    whole : bool
        Whether the data are all rows of the model, so that they must identify its parameters.
        False where more cross-products may be added.
    """

    spec: ModelSpec
    data: Any
    weights: Any = None
    offset: Any = None
    contrasts: Mapping[str, Any] | None = None
    na_action: str = "omit"
    threads: int | None = None
    levels: Mapping[str, Sequence[Any]] | None = None
    checkpoint: str | PathLike[str] | None = None
    progress: Show = "auto"
    whole: bool = True
