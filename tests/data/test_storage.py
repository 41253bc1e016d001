"""Files of results and cross-products: all of a model comes back, damage is found, nothing runs."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, golden, golden_names

import mixedfast as mf
from mixedfast.data import storage
from mixedfast.design.new_data import code_new_data

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")

FORMULAS = [  # formulas formulaic must evaluate on the rows, so that its own recipe has to come back
    "Reaction ~ poly(Days, 2) + (1 | Subject)",
    "Reaction ~ scale(Days) + I(Days ** 2) + (scale(Days) | Subject)",
    "Reaction ~ bs(Days, df=4) + (1 | Subject)",
    "log(Reaction) ~ np.sqrt(Days) + center(Days) + (1 | Subject)",
]


def _same(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", golden_names())
def test_cross_products_come_back(name, tmp_path):
    record = golden(name)
    cp = mf.crossproducts(
        record["formula_py"],
        frame(record["dataset"]),
        weights=record.get("weights"),
        contrasts=mf_contrasts(record),
    )
    cp.save(tmp_path / "cp.mf")
    back = mf.load(tmp_path / "cp.mf")
    _same(back.xy, cp.xy)
    for mine, theirs in zip(back.groups, cp.groups, strict=True):
        _same(mine.A, theirs.A)
        _same(mine.B, theirs.B)
        _same(mine.levels, theirs.levels)
    for key, pair in cp.pairs.items():
        _same(back.pairs[key].data, pair.data)
    assert back.terms == cp.terms and back.x_names == cp.x_names and back.n == cp.n
    assert back.meta.fixed_terms == cp.meta.fixed_terms
    assert mf.fit(back, REML=record["REML"]).criterion == mf.fit(cp, REML=record["REML"]).criterion
    assert (back + cp).n == 2 * cp.n


def mf_contrasts(record):
    given = record.get("contrasts")
    return given if isinstance(given, dict) and given else None


@pytest.mark.parametrize("formula", FORMULAS)
def test_results_come_back(formula, tmp_path):
    m = mf.lmer(formula, frame("sleepstudy"))
    m.save(tmp_path / "m.mf")
    back = mf.load(tmp_path / "m.mf")
    assert back.criterion == m.criterion
    pd.testing.assert_frame_equal(back.coef_table(), m.coef_table())
    pd.testing.assert_frame_equal(back.anova(), m.anova())
    new = {"Days": [0.5, 3.0, 7.25], "Subject": ["308", "309", "372"]}
    for ours, theirs in zip(
        code_new_data(back._fit.cp.meta.recipe, new).x,
        code_new_data(m._fit.cp.meta.recipe, new).x,
        strict=True,
    ):
        for a, b in zip(ours, theirs, strict=True):
            _same(a.values, b.values)


def test_rows_are_kept_when_asked(tmp_path):
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    m.save(tmp_path / "m.mf")
    with pytest.raises(mf.DataError, match="rows"):
        _ = mf.load(tmp_path / "m.mf").fitted
    m.keep_rows = True
    m.save(tmp_path / "m.mf")
    np.testing.assert_array_equal(mf.load(tmp_path / "m.mf").fitted, m.fitted)


def test_the_same_model_is_the_same_bytes(tmp_path):
    cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    cp.save(tmp_path / "a")
    cp.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with np.load(tmp_path / "a") as arrays:  # also an .npz file
        assert len(arrays.files) > 3


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "cp.mf"
    mf.crossproducts("Reaction ~ Days + (Days | Subject)", frame("sleepstudy")).save(path)
    return path


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, keep):
    body = saved.read_bytes()
    saved.write_bytes(body[: int(keep * len(body))])
    with pytest.raises(mf.DataError, match=r"damaged|not a mixedfast file"):
        mf.load(saved)


def test_any_changed_byte_is_refused_or_harmless(saved):
    original, body = mf.load(saved), saved.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(body), 100):
        saved.write_bytes(body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :])
        try:
            read = mf.load(saved)
        except mf.DataError:
            continue
        _same(read.xy, original.xy)  # dates and attributes in the zip's directory carry no numbers


def _rewritten(path, change):
    """Return the file with another header and correct checksums."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["header.json"])
    change(header)
    parts["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        archive.comment = hashlib.sha256(parts["header.json"]).hexdigest().encode()


def test_another_version_is_named(saved):
    _rewritten(saved, lambda header: header.update(version=99))
    with pytest.raises(mf.DataError, match="version 99"):
        mf.load(saved)


@pytest.mark.parametrize(
    "content",
    [
        {"class": "Popen", "fields": {"args": "true"}},
        {"__class__": 1},
        {"object": ["os.system", {}]},
    ],
)
def test_a_file_cannot_name_other_classes(saved, content):
    _rewritten(saved, lambda header: header.update(content=content))
    with pytest.raises(mf.DataError, match=r"of the unknown (class|kind)"):
        mf.load(saved)


def test_a_formula_in_a_file_is_only_arithmetic(tmp_path):
    path, trace = tmp_path / "m.mf", tmp_path / "trace"
    mf.crossproducts("Reaction ~ I(Days ** 2) + (1 | Subject)", frame("sleepstudy")).save(path)
    bad = f"I(open({str(trace)!r}, 'w').close() or Days)"

    def change(header):
        text = json.dumps(header).replace("I(Days ** 2)", bad.replace('"', "'"))
        header.update(json.loads(text))

    _rewritten(path, change)
    with pytest.raises(mf.MixedFastError):
        mf.load(path)
    assert not trace.exists()


HEADS = [  # what an array may say of itself; its 24 bytes are three numbers
    ("(3,)", "<f8", True),
    ("(1, 3)", "<f8", True),
    ("(1000000000000,)", "<f8", False),
    ("(2,)", "<f8", False),
    ("(-3,)", "<f8", False),
    ("(3,)", "|O", False),
    ("(3,)", "<f7", False),
    ("(3, 2.0)", "<f8", False),
    ("()", "|V24", False),
    ("(0, 99)", "<f8", False),
]


@pytest.mark.parametrize(("shape", "kind", "taken"), HEADS)
def test_arrays_are_measured_before_room_is_made(shape, kind, taken):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    body = (
        b"\x93NUMPY\x01\x00"
        + len(head + b" \n").to_bytes(2, "little")
        + head
        + b" \n"
        + np.arange(3.0).tobytes()
    )
    if taken:
        assert storage._array_of(body, "a file").ravel().tolist() == [0.0, 1.0, 2.0]
        return
    with pytest.raises((mf.DataError, TypeError), match=r"damaged|not understood"):
        storage._array_of(body, "a file")


@pytest.mark.parametrize("dtype", ["f8", ">f8", "?", "U5", "M8[ns]", "m8[25us]", "M8", "c16", "i2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_arrays_of_any_plain_kind_come_back(dtype, shape):
    for order in "CF":
        array = np.zeros(shape, dtype, order=order)
        back = storage._array_of(storage._npy(array), "a file")
        _same(back, array)
        assert (
            back.shape == shape
            and back.flags.writeable
            and back.flags.c_contiguous == array.flags.c_contiguous
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("version"),
        lambda header: header.pop("content"),
        lambda header: header.update(content=3),
        lambda header: header.update(content={}),
        lambda header: header.update(holds="Fit"),
        lambda header: header.update(sha256=7),
        lambda header: header["content"].update(fields=[]),
        lambda header: header["content"]["fields"].pop("xy"),
        lambda header: header["content"]["fields"].update(xy={"array": 10**9}),
        lambda header: header.update(content={"array": "x"}),
    ],
)
def test_what_no_save_wrote_is_refused(saved, change):
    _rewritten(saved, change)
    with pytest.raises(mf.DataError, match=re.escape(str(saved))):
        mf.load(saved)


def test_pickles_of_the_first_version_are_refused(tmp_path):
    (tmp_path / "old").write_bytes(b"mixedfast file, version 1\n" + bytes(32) + pickle.dumps(3))
    with pytest.raises(mf.DataError, match="pickle"):
        mf.load(tmp_path / "old")


def test_what_is_no_data_is_not_saved(tmp_path):
    m = mf.lmer(
        "Reaction ~ C(np.where(Days > 4, 'late', 'early')) + (1 | Subject)", frame("sleepstudy")
    )
    with pytest.raises(mf.DataError, match="pickle"):
        m.save(tmp_path / "m.mf")
    assert not list(tmp_path.iterdir())
