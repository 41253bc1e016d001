"""A table in batches, and whether two fits or two sets of cross-products agree."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from helpers.cases import frame

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FORMULA = "math ~ ses + (1 + ses | school)"
SCHOOLS = list(frame("hsb").school.cat.categories)

# sums of the same numbers in another order and about another shift
ROUNDING = 1e-9


def batches(data, count):
    table = pa.Table.from_pandas(data, preserve_index=False)
    edges = [table.num_rows * i // count for i in range(count + 1)]
    return [table.slice(a, b - a) for a, b in pairwise(edges)]


def as_text(data):
    """Return the data with categories as plain strings, as most engines hold them.

    Their order is then alphabetical.
    """
    return data.assign(
        **{name: data[name].astype(object) for name in data.select_dtypes("category")}
    )


def options(record):
    contrasts = record.get("contrasts")
    return {
        "weights": record.get("weights"),
        "contrasts": contrasts if isinstance(contrasts, dict) and contrasts else None,
        "REML": record["REML"],
    }


def same_fit(ours, theirs):
    """Everything a result says agrees to rounding of the cross-products."""
    ours.library = theirs.library = "pandas"
    assert ours.nobs == theirs.nobs and ours.n_groups == theirs.n_groups
    assert ours.criterion == pytest.approx(theirs.criterion, rel=ROUNDING)
    assert list(ours.params.index) == list(theirs.params.index)
    tolerance = 1e-7 * theirs.bse.abs().max()  # where the optimum is flat, theta moves a little
    np.testing.assert_allclose(ours.params, theirs.params, rtol=ROUNDING, atol=tolerance)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-7)
    for group, modes in theirs.ranef().items():
        assert list(ours.ranef()[group].index) == list(modes.index)
    assert ours._fit.cp.meta.missing == theirs._fit.cp.meta.missing
    mine, other = ours._fit.cp.meta.recipe.covariates, theirs._fit.cp.meta.recipe.covariates
    assert {name: c.values for name, c in mine.items()} == {
        name: c.values for name, c in other.items()
    }
    assert {name: c.mean for name, c in mine.items()} == pytest.approx(
        {name: c.mean for name, c in other.items()}
    )
    assert ours._fit.cp.meta.n_dropped == theirs._fit.cp.meta.n_dropped


def same_sums(ours, theirs):
    """Compare the cross-products in one basis, each relative to the size of its columns."""
    from mixedfast.crossprod.combine import in_scaling

    ours = in_scaling(ours, theirs.scaling)
    size = np.sqrt(np.diag(theirs.xy))
    assert (np.abs(ours.xy - theirs.xy) <= ROUNDING * np.outer(size, size)).all()
    for a, b in zip(ours.groups, theirs.groups, strict=True):
        np.testing.assert_array_equal(a.levels, b.levels)
        for mine, other in ((a.A, b.A), (a.B, b.B)):
            np.testing.assert_allclose(
                mine, other, rtol=ROUNDING, atol=ROUNDING * np.abs(other).max()
            )
    for key, pair in theirs.pairs.items():
        np.testing.assert_array_equal(ours.pairs[key].indices, pair.indices)
        np.testing.assert_allclose(
            ours.pairs[key].data, pair.data, rtol=ROUNDING, atol=ROUNDING * np.abs(pair.data).max()
        )


def spoil(path):
    """Overwrite the pages of the second column, and leave the footer as it is."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    body = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    body[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(body)
    return column.path_in_schema
