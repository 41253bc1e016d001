"""Sizes past 2**31, by arithmetic: nothing here makes room for what it counts."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mixedfast as mf
from mixedfast.crossprod import _sums
from mixedfast.data.frames import MOST_ROWS
from mixedfast.design import grouping
from mixedfast.engines._border import check_border

CSRC = Path(__file__).parents[2] / "csrc"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
BIG = 2**31


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Return the size functions, called with the types that C has."""
    if COMPILER is None or not CSRC.is_dir():
        pytest.skip("no C compiler, or no sources beside the tests")
    library = tmp_path_factory.mktemp("sizes") / "kernels.so"
    sources = [str(CSRC / name) for name in ("mf_moments.c", "mf_selinv.c")]
    subprocess.run(
        [COMPILER, "-std=c99", "-O1", "-shared", "-fPIC", *sources, "-o", str(library), "-lm"],
        check=True,
    )
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize(
    ("k", "p"), [(64, 20_000), (1, 60_000), (64, 1), (9, 3_000), (3, 1_000_000)]
)
@pytest.mark.parametrize("third", [False, True])
def test_workspace_of_the_moments(kernels, k, p, third):
    kernels.mf_level_moments_work.restype = ctypes.c_int64
    h, kp = k * (k + 1) // 2, k * p
    size = 3 * h + 3 * h * h + k * kp + third * kp * kp
    assert kernels.mf_level_moments_work(k, p, third) == 2 * size + kp + 3 * h


class Supernodes(ctypes.Structure):
    """mf_selinv_supernodes of csrc/mf_selinv.h."""

    _fields_ = [
        ("n_super", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("super", "pi", "px", "rows", "owner")),
    ]


def test_workspace_of_the_selected_inverse(kernels):
    """A supernode of 100 columns with 70,000 rows below them: their square is past 2**32."""
    starts, rows = np.array([0, 100, 70_100]), np.array([0, 70_100, 70_100 + 70_000])
    nodes = Supernodes(2, starts.ctypes.data, rows.ctypes.data, None, None, None)
    work, index = ctypes.c_int64(), ctypes.c_int64()
    kernels.mf_selinv_supernodal_sizes(ctypes.byref(nodes), ctypes.byref(work), ctypes.byref(index))
    assert (work.value, index.value) == (70_000 * 70_100, 70_000)


def test_more_rows_than_places_are_refused():
    column = np.broadcast_to(1.0, BIG)  # one number, so many times over
    with pytest.raises(
        mf.DataError,
        match=r"2,147,483,648 rows, and a single table may have 2,147,483,647: .* batches",
    ):
        mf.lmer(
            "y ~ x + (1 | g)", {"y": column, "x": column, "g": np.broadcast_to(np.int32(0), BIG)}
        )
    assert np.iinfo(np.int32).max == MOST_ROWS


def test_more_levels_than_codes_tell_apart_are_refused():
    pool = _sums.ColumnPool([((), 0.0, 1.0)] * 2, 1)
    code = np.zeros(1, dtype=np.int32)
    for n_left, n_right in ((BIG + 1, 1), (1, BIG + 1), (2**40, 2**40), (-1, 1)):
        with pytest.raises(ValueError, match="levels"):
            _sums.pair_products(code, n_left, code, n_right, pool, 1, 1)
    indptr, indices, data = _sums.pair_products(
        code, 1, np.array([BIG - 1], dtype=np.int32), BIG, pool, 1, 1
    )
    assert (indptr.tolist(), indices.tolist(), data.tolist()) == ([0, 1], [BIG - 1], [[[1.0]]])


def test_more_columns_than_blas_counts_are_refused():
    none, longs, ints = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    levels = np.broadcast_to(np.int32(64), BIG // 64)
    with pytest.raises(ValueError, match="2147483648 random effects remain"):
        check_border(
            np.zeros(1, int),
            ints,
            np.zeros((0, 1)),
            ints,
            longs,
            longs,
            longs,
            levels,
            longs,
            longs,
            none,
        )


def test_combinations_of_many_levels_are_numbered_apart():
    """Cells of two factors of 2**31 levels: the largest product of two codes that there is."""
    last = np.array([BIG - 1], dtype=np.int64)
    ids = grouping._renumbered(np.array([5]), BIG, BIG, last, np.broadcast_to(last[0], BIG))
    assert ids.tolist() == [(BIG - 1) * BIG + BIG - 1]
