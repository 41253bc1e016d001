"""Fixtures of the tests of streams."""

from __future__ import annotations

import pytest
from helpers.cases import frame


@pytest.fixture
def small_units(monkeypatch):
    """Every file and batch is a unit of its own, and every unit is written down."""
    for module in ("files", "work_units"):
        monkeypatch.setattr(f"mixedfast.data.{module}.UNIT_ROWS", 1)
    monkeypatch.setattr("mixedfast.crossprod.streaming.checkpoint._EVERY", 0.0)


@pytest.fixture
def folder(tmp_path):
    """Four Parquet files of the High School and Beyond rows."""
    import pyarrow.parquet as pq
    from helpers.streams import batches

    where = tmp_path / "students"
    where.mkdir()
    for i, part in enumerate(batches(frame("hsb"), 4)):
        pq.write_table(part, where / f"part-{i}.parquet")
    (where / "_SUCCESS").touch()
    return where
