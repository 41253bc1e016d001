"""Text that is encoded in threads has the codes and levels of text that is not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mixedfast.data import frames
from mixedfast.data.frames import as_table

pa = pytest.importorskip("pyarrow")


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("rows_per_thread", [2, 10**6])
def test_parts_have_their_own_levels(monkeypatch, rows, chunks, rows_per_thread):
    rng = np.random.default_rng(rows)
    drawn = [None if rng.random() < 0.1 else f"é{rng.integers(0, 40)}" for _ in range(rows)]
    values = ["z", *drawn]
    edges = [len(values) * i // chunks for i in range(chunks + 1)]
    parts = [values[a:b] for a, b in pairwise(edges)]
    tables = [
        pd.DataFrame({"g": pd.Series(values, dtype="str")}),
        pd.DataFrame({"g": pd.Series(values, dtype="string[python]")}),
        pd.DataFrame({"g": pd.Series(values, dtype=object)}),
        pa.table({"g": pa.chunked_array([pa.array(part, pa.string()) for part in parts])}),
    ]
    levels = sorted({value for value in values if value is not None})
    codes = [-1 if value is None else levels.index(value) for value in values]
    monkeypatch.setattr(frames, "available_cores", lambda: 4)
    monkeypatch.setattr(frames, "_ROWS_PER_THREAD", rows_per_thread)
    for table in tables:
        column = as_table(table).grouping("g")
        assert column.codes.tolist() == codes
        assert column.codes.dtype == np.int32
        assert column.levels.tolist() == levels
