"""Columns whose type changes from part to part: whole numbers first, then fractions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mixedfast as mf


def table() -> pd.DataFrame:
    """Make 600 rows; x and extra are whole in the first half, and extra is missing in the third."""
    rng = np.random.default_rng(0)
    n = 600
    data = pd.DataFrame({"g": rng.integers(0, 40, n), "x": (np.arange(n) % 7).astype(float)})
    data["extra"], data["late"] = 1.0, np.arange(n)
    data.loc[300:, ["x", "extra"]] += 0.5
    data["y"] = data.x + rng.normal(size=40)[data.g] + rng.normal(size=n)
    return data


def parts() -> list[pa.Table]:
    """Return two Arrow tables of the rows in the narrowest types, the second without `late`."""
    data = table()
    first = data[:300].astype({"x": int, "extra": int}).assign(late=None)
    return [pa.Table.from_pandas(part, preserve_index=False) for part in (first, data[300:])]


FORMULA = "y ~ x + (1 | g)"


@pytest.mark.parametrize("kind", ["csv", "parquet", "batches"])
def test_augment_to_writes_the_wider_type(kind, tmp_path):
    source = tmp_path / "parts"
    source.mkdir()
    for i, part in enumerate(parts()):
        if kind == "csv":
            part.to_pandas().to_csv(source / f"{i}.csv", index=False)
        else:
            pq.write_table(part, source / f"{i}.parquet")
    m = mf.lmer(FORMULA, parts() if kind == "batches" else source)
    m.augment_to(tmp_path / "out.parquet", columns=["extra", "late"])
    found = pq.read_table(tmp_path / "out.parquet").to_pandas()
    whole = mf.lmer(FORMULA, table())
    np.testing.assert_array_equal(found.extra, table().extra)
    np.testing.assert_array_equal(found.x, table().x)
    np.testing.assert_array_equal(found.late.dropna(), np.arange(300, 600))
    np.testing.assert_allclose(found[".fitted"], whole.fitted, rtol=1e-9)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.parquet"]


def test_an_iterator_with_other_types_later():
    with pytest.warns(mf.MixedFastWarning, match="temporary file"):
        m = mf.lmer(FORMULA, iter(parts()))
    np.testing.assert_allclose(m.fitted, mf.lmer(FORMULA, table()).fitted, rtol=1e-9)
