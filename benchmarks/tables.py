"""Tables on disk that Python and R both read.

A table is a folder with `table.json` and one raw little-endian file per column.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.model import Model

__all__ = ["read_columns", "read_model", "used_bytes", "write_table"]

Columns = dict[str, "np.ndarray | pd.Categorical"]


def write_table(folder: Path, model: Model, columns: Columns) -> None:
    """Write a table: numbers as float64, identifiers as int32, factors as int32 codes.

    Levels of factors are in `table.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {}
    for name, column in columns.items():
        if isinstance(column, pd.Categorical):
            values, kind = (
                column.codes.astype("<i4"),
                {"kind": "factor", "levels": [str(v) for v in column.categories]},
            )
        elif np.issubdtype(column.dtype, np.integer):
            values, kind = column.astype("<i4"), {"kind": "integer"}
        else:
            values, kind = column.astype("<f8"), {"kind": "double"}
        values.tofile(folder / f"{name}.bin")
        described[name] = kind
    rows = len(next(iter(columns.values())))
    # Written last: a folder with this file is a whole table.
    (folder / "table.json").write_text(
        json.dumps({"model": model.to_dict(), "rows": rows, "columns": described})
    )


def read_model(folder: Path) -> Model:
    return Model.from_dict(json.loads((folder / "table.json").read_text())["model"])


def read_columns(folder: Path) -> Columns:
    """Return the columns the model reads."""
    table = json.loads((folder / "table.json").read_text())
    columns: Columns = {}
    for name in Model.from_dict(table["model"]).columns():
        kind = table["columns"][name]
        if kind["kind"] == "factor":
            codes = np.fromfile(folder / f"{name}.bin", "<i4")
            columns[name] = pd.Categorical.from_codes(codes, categories=kind["levels"])
        else:
            columns[name] = np.fromfile(
                folder / f"{name}.bin", "<i4" if kind["kind"] == "integer" else "<f8"
            )
    return columns


def used_bytes(columns: Columns) -> int:
    """Bytes of the columns a model reads, as they lie in memory."""
    return sum(
        column.codes.nbytes if isinstance(column, pd.Categorical) else column.nbytes
        for column in columns.values()
    )
