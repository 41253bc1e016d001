"""Sources of batches: files, or anything that yields Arrow data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from mixedfast.data.arrow import need_pyarrow
from mixedfast.data.batches import Batches, Dataset
from mixedfast.data.files import Files, files_at
from mixedfast.data.work_units import Source

__all__ = ["as_source", "is_stream"]


def is_stream(data: Any) -> bool:
    """Return whether data are read batch by batch: paths, or something that yields Arrow data."""
    if isinstance(data, (str, os.PathLike)) or _is_dataset(data):
        return True
    if isinstance(data, (list, tuple, Iterator)) or (callable(data) and not isinstance(data, type)):
        return True  # among them a RecordBatchReader, an iterator that exports Arrow too
    # a column or an array holds values, not batches; where tables are read it gets an error
    in_memory = ("__arrow_c_stream__", "__array__", "columns", "names")
    return (
        hasattr(data, "__iter__")
        and not isinstance(data, Mapping)
        and not any(hasattr(data, name) for name in in_memory)
    )


def _is_dataset(data: Any) -> bool:
    return type(data).__module__.startswith("pyarrow") and "Dataset" in type(data).__name__


def as_source(data: Any) -> Source:
    """Return a `Source` of a path, folder, glob, list of paths, Arrow dataset or batches.

    Raises
    ------
    DataError
        When no file is found, or a file is neither Parquet nor CSV.
    """
    need_pyarrow("reading data in batches")
    if isinstance(data, (Files, Batches, Dataset)):
        return data
    if isinstance(data, (str, os.PathLike)):
        return Files(files_at(data))
    if (
        isinstance(data, (list, tuple))
        and data
        and all(isinstance(item, (str, os.PathLike)) for item in data)
    ):
        return Files(tuple(path for item in data for path in files_at(item)))
    if _is_dataset(data):
        return Dataset(data)
    return Batches(data)
