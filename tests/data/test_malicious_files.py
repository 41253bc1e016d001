"""Saved files with wrong contents under correct checksums.

The error is one of mixedfast's, and no wrong index reaches a kernel.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile

import numpy as np
import pytest
from helpers.cases import frame

import mixedfast as mf
import mixedfast.results.saved  # registers every class
from mixedfast._stored import REGISTRY
from mixedfast.crossprod.assemble import sum_rows
from mixedfast.crossprod.scaling import choose_scaling
from mixedfast.crossprod.streaming.checkpoint import Checkpoint
from mixedfast.data import storage, storage_schema
from mixedfast.data.frames import as_table
from mixedfast.design.build import build
from mixedfast.formula.parser import parse


class Forger:
    """A saved file taken apart: its header as JSON, its arrays as arrays."""

    def __init__(self, path):
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.header = json.loads(archive.read("header.json"))
            self.arrays = [
                archive.read(f"arrays/{i:04d}.npy") for i in range(len(self.header["sha256"]))
            ]

    def fields(self, name, which=0):
        """Return the fields of an object of a class, the first or another."""
        return list(self._found(self.header["content"], name))[which]

    def _found(self, value, name):
        if isinstance(value, dict):
            if value.get("class") == name:
                yield value["fields"]
            value = list(value.values())
        for part in value if isinstance(value, list) else ():
            yield from self._found(part, name)

    def part(self, name):
        return self.header["content"]["fields"][name]

    def text(self, ends, letters):
        """Labels, cut out of letters at some ends."""
        return {
            "strings": [
                self.array(ends)["array"],
                self.array(np.frombuffer(letters, np.uint8))["array"],
            ]
        }

    def array(self, value):
        """Add an array to the file, and return how the header points to it."""
        self.arrays.append(storage._npy(np.asarray(value)))
        return {"array": len(self.arrays) - 1}

    def read(self, value):
        return np.load(io.BytesIO(self.arrays[value["array"]]))

    def write(self, **more):
        header = {
            **self.header,
            "sha256": [hashlib.sha256(body).hexdigest() for body in self.arrays],
        }
        parts = [(f"arrays/{i:04d}.npy", body) for i, body in enumerate(self.arrays)]
        write_zip(self.path, [("header.json", json.dumps(header).encode()), *parts], **more)


def write_zip(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, body in parts:
            archive.writestr(name, body)
        archive.comment = hashlib.sha256(dict(parts)["header.json"]).hexdigest().encode()


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged")
    m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("penicillin"))
    m.keep_rows = True
    m.save(folder / "crossed")
    m = mf.lmer("Reaction ~ poly(Days, 2) + (Days | Subject)", frame("sleepstudy"))
    m.save(folder / "curved")
    d = frame("sleepstudy").assign(late=lambda d: np.where(d.Days > 4, "late", "early"))
    mf.crossproducts("Reaction ~ late * Days + (1 | Subject/late)", d).save(folder / "nested")
    m = mf.lmer("Reaction ~ late + (1 | Subject)", d)
    m.keep_rows = True
    m.save(folder / "coded")
    design = build(parse("Reaction ~ late + (1 | Subject) + (1 | Days)"), as_table(d))
    storage.save(
        Checkpoint("this model", sums=sum_rows(design, scaling=choose_scaling(design))),
        folder / "work",
    )
    mf.lm("Reaction ~ Days", frame("sleepstudy")).save(folder / "line")
    return folder


def with_(name, field, make, which=0):
    """Return a change of one field of an object, to what `make` returns for its old value."""

    def change(forger):
        own = forger.fields(name, which)
        own[field] = make(forger, own[field])

    return change


def other(name, field, value, which=0):
    return with_(name, field, lambda forger, was: value, which)


def array(name, field, make, which=0):
    return with_(name, field, lambda forger, was: forger.array(make(forger.read(was))), which)


def pairs_of(key, was):
    return {"dict": [[key, was["dict"][0][1]]]}


def put(at, value):
    def make(was):
        was[at] = value
        return was

    return make


CHANGES = {
    # another type, in the header or in an array
    "text for a number": ("crossed", other("CrossProducts", "n", "many")),
    "True for a count": ("crossed", other("CrossProducts", "n", True)),
    "a number for text": ("crossed", other("Meta", "formula", 3)),
    "a number for a list": ("crossed", other("CrossProducts", "terms", 3)),
    "a list for an array": ("crossed", other("CrossProducts", "xy", [1.0, 2.0])),
    "an array for a number": (
        "crossed",
        with_("Solution", "deviance", lambda forger, was: forger.array([1.0])),
    ),
    "another class": (
        "crossed",
        with_("Fit", "solution", lambda forger, was: forger.fields("Fit")["cp"]),
    ),
    "nothing where something must be": ("crossed", other("Fit", "cp", None)),
    "an engine that is no mapping": ("crossed", other("Fit", "engine", [1])),
    "an unknown kind of Hessian": ("crossed", other("Optimum", "kind", "guessed")),
    "whole numbers for sums": (
        "crossed",
        array("CrossProducts", "xy", lambda was: was.astype(np.int64)),
    ),
    "single precision": (
        "crossed",
        array("GroupProducts", "A", lambda was: was.astype(np.float32)),
    ),
    "complex numbers": ("crossed", array("GroupProducts", "B", lambda was: was.astype(complex))),
    "dates": ("crossed", array("Solution", "beta", lambda was: was.astype("M8[s]"))),
    "long codes": ("crossed", array("ReTerm", "codes", lambda was: was.astype(np.int64))),
    "broken places": ("crossed", array("PairProducts", "indices", lambda was: was.astype(float))),
    # another shape
    "flat sums": ("crossed", array("CrossProducts", "xy", lambda was: was.ravel())),
    "sums of one column more": ("crossed", array("CrossProducts", "xy", lambda was: np.eye(3))),
    "no numbers at all": ("crossed", array("CrossProducts", "shift", lambda was: was[:0])),
    "a level too few": ("crossed", array("GroupProducts", "B", lambda was: was[:-1])),
    "blocks that are not square": (
        "crossed",
        array("GroupProducts", "A", lambda was: was.repeat(2, axis=1)),
    ),
    "rows that are not as many": ("crossed", array("Design", "y", lambda was: was[:-1])),
    "a theta too many": (
        "crossed",
        array("Fit", "theta_internal", lambda was: np.append(was, 1.0)),
    ),
    "an optimum of another model": (
        "crossed",
        array("Optimum", "hessian", lambda was: was[:1, :1]),
    ),
    "a coefficient too many": ("crossed", array("Solution", "beta", lambda was: np.ones(3))),
    "a scalar for an array": ("crossed", array("CrossProducts", "scale", lambda was: was[0])),
    "names too few": ("crossed", other("CrossProducts", "x_names", [])),
    # sizes and places that cannot be
    "fewer than no rows": ("crossed", other("CrossProducts", "n", -1)),
    "rows past 2^63": ("crossed", other("CrossProducts", "n", 2**70)),
    "fewer than no rows in a design": ("crossed", other("Rows", "n", -1)),
    "rows past memory": ("crossed", other("Rows", "n", 2**40)),
    "a term of no columns": ("crossed", other("TermShape", "k", 0)),
    "a term before its group": ("crossed", other("TermShape", "start", -1)),
    "a term outside of its group": ("crossed", other("TermShape", "start", 1)),
    "a term of no group": ("crossed", other("TermShape", "group", 2)),
    "places past the levels": ("crossed", array("PairProducts", "indices", put(0, 10**6))),
    "places before the levels": ("crossed", array("PairProducts", "indices", put(0, -1))),
    "places by 2^62": ("crossed", array("PairProducts", "indptr", put(1, 2**62))),
    "places that go back": ("crossed", array("PairProducts", "indices", lambda was: was[::-1])),
    "a place twice": ("crossed", array("PairProducts", "indices", put(1, 0))),
    "ends that go back": ("crossed", array("PairProducts", "indptr", put(2, 0))),
    "ends that begin late": ("crossed", array("PairProducts", "indptr", put(0, 1))),
    "a pair of a group with itself": (
        "crossed",
        with_("CrossProducts", "pairs", lambda f, was: pairs_of([1, 1], was)),
    ),
    "a pair that lacks": ("crossed", other("CrossProducts", "pairs", {"dict": []})),
    "codes past the levels": ("crossed", array("ReTerm", "codes", put(0, 1000))),
    "codes past a table": ("coded", array("Factor", "values", put(0, 2))),
    "codes before the levels": ("crossed", array("ReTerm", "codes", put(0, -1))),
    "categories past their levels": ("coded", array("Categorical", "codes", put(3, 24))),
    "a column that X has not": ("crossed", array("CrossProducts", "kept", put(0, 7))),
    "a term of columns that are not": ("nested", other("FixedTerm", "columns", [99])),
    "ids past their levels": (
        "nested",
        with_("GroupRecipe", "ids", lambda f, was: [f.array(put(0, 10**9)(f.read(was[0])))]),
    ),
    "ids before their levels": (
        "nested",
        with_("GroupRecipe", "ids", lambda f, was: [f.array(put(0, -1)(f.read(was[0])))]),
    ),
    "ids that lack": ("nested", other("GroupRecipe", "ids", [])),
    # what no number of a model is
    "NaN in the sums": ("crossed", array("CrossProducts", "xy", put((0, 0), np.nan))),
    "infinity in a block": ("crossed", array("GroupProducts", "A", put((0, 0, 0), np.inf))),
    "NaN in a pair": ("crossed", array("PairProducts", "data", put((0, 0, 0), np.nan))),
    # larger than the products of any columns
    "a product past all sums": ("crossed", array("GroupProducts", "A", put((0, 0, 0), -1e308))),
    "sums past all rows": ("crossed", array("GroupProducts", "A", lambda was: was + 1e300)),
    "a product with y past all sums": ("crossed", array("GroupProducts", "B", put((0, 0, 1), 1e6))),
    "a product of a pair past all sums": (
        "crossed",
        array("PairProducts", "data", lambda w: -w * 1e9),
    ),
    "products of X past all sums": ("crossed", array("CrossProducts", "xy", put((1, 0), 1e200))),
    "products that are not symmetric": (
        "curved",
        array("GroupProducts", "A", put((0, 1, 0), 7.0)),
    ),
    "a theta past all numbers": ("crossed", array("Fit", "theta_internal", put(0, 1e200))),
    "a level of less than nothing": ("crossed", array("GroupProducts", "A", put((0, 0, 0), -5.0))),
    "a negative sum of squares": ("crossed", array("CrossProducts", "xy", lambda was: -was)),
    "residuals of nothing": ("crossed", other("Solution", "r2", 0.0)),
    "a deviance without end": ("crossed", other("Solution", "deviance", {"float": "inf"})),
    "a factor that cannot be inverted": ("crossed", array("Solution", "LX", lambda was: 0.0 * was)),
    "a factor that is no triangle": ("curved", array("Solution", "LX", put((0, 1), 1.0))),
    "a scale of nothing": ("crossed", array("CrossProducts", "scale", put(0, 0.0))),
    "a scale that turns": ("crossed", array("GroupProducts", "scale", put(0, -1.0))),
    "NaN as a deviance": ("crossed", other("Solution", "deviance", {"float": "nan"})),
    "NaN in theta": ("crossed", array("Fit", "theta_internal", put(0, np.nan))),
    "NaN in y": ("crossed", array("Design", "y", put(0, np.nan))),
    "no number at all": ("crossed", other("Solution", "deviance", {"float": "much"})),
    # twice
    "a level twice": (
        "crossed",
        with_("GroupProducts", "levels", lambda f, was: f.array(np.zeros(24))),
    ),
    "a group twice": ("crossed", other("GroupProducts", "name", "sample")),
    "a column twice": (
        "nested",
        with_("CrossProducts", "x_names", lambda f, was: [was[0], *was[:-1]]),
    ),
    "a variable twice": (
        "nested",
        with_("Recipe", "levels", lambda f, was: {"dict": was["dict"] * 2}),
    ),
    "a name of a set twice": ("curved", other("Recipe", "numeric", {"set": ["Days", "Days"]})),
    # what lacks, or is none of ours
    "a field that lacks": ("crossed", lambda forger: forger.fields("Meta").pop("library")),
    "a field too many": ("crossed", lambda forger: forger.fields("Meta").update(colour="red")),
    "no fields": ("crossed", lambda forger: forger.header["content"].update(fields={})),
    "an unknown class": (
        "crossed",
        lambda forger: forger.header["content"].update({"class": "Popen"}),
    ),
    "a class that is none": (
        "crossed",
        lambda forger: forger.header["content"].update({"class": ["Fit"]}),
    ),
    "a part of a result": (
        "crossed",
        lambda forger: forger.header.update(holds="Fit", content=forger.part("fit")),
    ),
    "a library that is none": ("crossed", other("Meta", "library", "os")),
    "an array that lacks": ("crossed", other("CrossProducts", "xy", {"array": 10**6})),
    "an array before the first": ("crossed", other("CrossProducts", "xy", {"array": -1})),
    "text cut outside of its letters": (
        "curved",
        with_("GroupProducts", "levels", lambda f, was: f.text([0, 10**12], b"abc")),
    ),
    "text cut backwards": (
        "curved",
        with_("GroupProducts", "levels", lambda f, was: f.text([0, 9, 3, 9], b"abcdefghi")),
    ),
    "letters that are none": (
        "curved",
        with_("GroupProducts", "levels", lambda f, was: f.text([0, 2], b"\xff\xff")),
    ),
    "a key that is a list": ("crossed", other("Meta", "missing", {"dict": [[{"list": []}, 1]]})),
    "a mapping of triples": ("crossed", other("Meta", "missing", {"dict": [["a", 1, 2]]})),
    "values a hundred deep": ("crossed", other("Fit", "engine", json.loads("[" * 100 + "]" * 100))),
    "statistics of no transform": (
        "curved",
        other(
            "Coding",
            "state",
            {
                "dict": [["poly(Days, 2)", {"dict": [["alpha", 3], ["norms2", "x"]]}]],
            },
        ),
    ),
    "statistics that are text": ("curved", other("Coding", "state", "scale")),
    "a variable that lacks": ("curved", other("Coding", "shapes", [])),
    "a type that is none": ("curved", other("Shape", "dtype", "zz")),
    "another formula": ("curved", other("Coding", "formula", "1 + poly(Nights, 2)")),
    "sums of text": ("work", other("Checkpoint", "sums", "none")),
    "pairs past their levels": ("work", array("PairProducts", "indices", put(0, 99))),
    "a term outside of its sums": ("work", other("TermShape", "group", 2)),
    "sums of other groups": ("work", other("RowSums", "n_groups", 1)),
    "columns before the first": (
        "work",
        with_("RowSums", "left", lambda f, was: [f.array(f.read(at) - 9) for at in was]),
    ),
    "NaN in a block of sums": (
        "work",
        with_("RowSums", "levels", lambda f, was: [[f.array([[[np.nan]]])] for _ in was]),
    ),
    "coefficients of another line": ("line", array("LeastSquares", "beta", lambda was: np.ones(9))),
    "a covariance that is flat": ("line", array("LeastSquares", "vcov", lambda was: was.ravel())),
}


@pytest.mark.parametrize("which", ["crossed", "curved", "nested", "coded", "work", "line"])
def test_what_is_taken_apart_and_put_together_is_read(originals, tmp_path, which):
    path = tmp_path / "same.mf"
    path.write_bytes((originals / which).read_bytes())
    Forger(path).write()
    assert type(mf.load(path)) is type(mf.load(originals / which))


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_forged_is_refused_in_words(originals, tmp_path, what):
    which, change = CHANGES[what]
    path = tmp_path / "forged.mf"
    path.write_bytes((originals / which).read_bytes())
    forger = Forger(path)
    change(forger)
    forger.write()
    with pytest.raises(mf.MixedFastError, match=r"\w+ \w+ \w+"):
        mf.load(path)


@pytest.mark.parametrize("which", ["crossed", "curved"])
def test_a_theta_that_cannot_be_solved_is_an_error_of_every_method(originals, tmp_path, which):
    """The checks at load do not solve the model: its methods find what they cannot use.

    Each product is possible by itself, and all together are not those of any columns.
    """
    path = tmp_path / "forged.mf"
    path.write_bytes((originals / which).read_bytes())
    forger = Forger(path)
    if which == "crossed":
        array("PairProducts", "data", lambda was: 10.0 * was)(forger)
    else:
        array("GroupProducts", "A", lambda was: was + np.array([[0, 40], [40, 0]]))(forger)
    forger.write()
    m = mf.load(path)
    refused = set()
    for name in ("summary", "ranef", "anova", "confint", "varcorr_se", "profile", "ranova"):
        try:
            getattr(m, name)()
        except mf.MixedFastError:
            refused.add(name)
    assert refused >= {"summary", "ranef", "confint", "profile", "varcorr_se"}


def test_the_message_names_file_class_and_field(originals, tmp_path):
    path = tmp_path / "forged.mf"
    path.write_bytes((originals / "crossed").read_bytes())
    forger = Forger(path)
    array("PairProducts", "indices", put(-1, 6))(forger)
    forger.write()
    said = "is not a valid mixedfast file: indices of the pair 0, 1 of a CrossProducts do not lie from 0 to 5"
    with pytest.raises(mf.DataError, match=re.escape(f"{path} {said}")):
        mf.load(path)


def test_a_part_of_one_name_is_there_once(originals, tmp_path):
    with zipfile.ZipFile(originals / "line") as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(tmp_path / "m", [*parts, parts[-1]])
    with pytest.raises(mf.DataError, match="two parts have the same name"):
        mf.load(tmp_path / "m")


def test_a_key_of_the_header_is_there_once(originals, tmp_path):
    with zipfile.ZipFile(originals / "line") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    once = b'"format": "mixedfast"'
    parts["header.json"] = parts["header.json"].replace(once, once + b", " + once)
    write_zip(tmp_path / "m", list(parts.items()))
    with pytest.raises(mf.DataError, match="a key occurs twice"):
        mf.load(tmp_path / "m")


def test_a_packed_file_is_refused_before_it_is_unpacked(originals, tmp_path):
    path = tmp_path / "m"
    path.write_bytes((originals / "line").read_bytes())
    forger = Forger(path)
    forger.array(np.zeros(10**7))
    forger.write(compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000  # 80 MB
    with pytest.raises(mf.DataError, match="its parts are compressed"):
        mf.load(path)


def test_parts_share_no_bytes(originals, tmp_path):
    """A list of parts that all lie in the same place: read one by one they exceed the file."""
    path = tmp_path / "m"
    path.write_bytes((originals / "line").read_bytes())
    forger = Forger(path)
    forger.array(np.zeros(1000))
    for _ in range(50):
        forger.array(np.zeros(0))
    forger.write()
    body = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        large = archive.getinfo(f"arrays/{len(forger.arrays) - 51:04d}.npy")
        start = archive.start_dir
    at = start
    while body[at : at + 4] == b"PK\x01\x02":  # the record of each part: checksum, sizes, place
        name_length, extra, comment = struct.unpack_from("<3H", body, at + 28)
        name = bytes(body[at + 46 : at + 46 + name_length]).decode()
        if name > large.filename and name.startswith("arrays/"):
            struct.pack_into("<3I", body, at + 16, large.CRC, large.file_size, large.file_size)
            struct.pack_into("<I", body, at + 42, large.header_offset)
        at += 46 + name_length + extra + comment
    path.write_bytes(body)
    with pytest.raises(mf.DataError, match="its parts are longer than the file"):
        mf.load(path)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("<f8", "(1000000000000,)"),
        ("<f8", "(-3,)"),
        ("<f8", "(0, 999999999999999999, 999999999999999999)"),
        ("<U100000000", "(0,)"),
        ("<U0", "(9,)"),
        ("|O", "(3,)"),
        ("|V24", "()"),
        ("<f7", "(3,)"),
        ("<M8[0s]", "(3,)"),
        ("|b1", "(24,)"),
        ("<U6", "(1,)"),
        ("<f8", "(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3)"),
    ],
)
def test_sizes_are_measured_before_room_is_made(kind, shape):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }} \n".encode()
    body = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\xff" * 24
    with pytest.raises(mf.DataError, match="damaged"):
        storage._array_of(body, "a file")


def test_deep_headers_are_refused(originals, tmp_path):
    deep = (
        b'{"format": "mixedfast", "version": 3, "holds": "OLSResult", "sha256": [], "content": '
        + b"[" * 100_000
    )
    write_zip(tmp_path / "m", [("header.json", deep)])
    with pytest.raises(mf.DataError, match="cannot be read as JSON"):
        mf.load(tmp_path / "m")


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"1" * 5000])
def test_numbers_that_json_has_not_are_refused(originals, tmp_path, constant):
    with zipfile.ZipFile(originals / "line") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["header.json"] = re.sub(rb'"n": \d+', b'"n": ' + constant, parts["header.json"])
    write_zip(tmp_path / "m", list(parts.items()))
    with pytest.raises(mf.DataError, match="cannot be read as JSON"):
        mf.load(tmp_path / "m")


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_class_is_told_whole(name):
    """Tables of arrays and relations name fields that exist.

    Every array of a class is in them.
    """
    for way in storage_schema.hints_of(name):
        told = REGISTRY[name].arrays.keys()
        assert told <= way.keys()
        assert {
            key for key, hint in way.items() if hint is np.ndarray or hint == np.ndarray | None
        } <= told
