"""Results and cross-products as files that are only data: reading one never runs code.

A file is a zip: ``header.json`` says what it holds, ``arrays/*.npy`` are its numbers, and the zip's comment is the
SHA-256 of the header, which in turn lists the SHA-256 of every array. Objects are written field by field; the classes a
file may name are the ones listed here. The checksum finds damage; it is no signature: whoever can rewrite the whole file can
rewrite the checksum too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np

from mixedfast.arguments import check_path
from mixedfast.errors import DataError, MixedFastError

__all__ = ["load", "save"]

_VERSION = 3
_HEADER = "header.json"
_PICKLES = b"mixedfast file, version 1\n"
#: The classes a file may name, and where they live. Nothing else is ever made from a file.
_HOMES = {
    "Basis": "mixedfast.basis",
    "Categorical": "mixedfast.categories",
    "Checkpoint": "mixedfast.stream.checkpoint",
    "Coding": "mixedfast.coding",
    "Contrast": "mixedfast.contrast",
    "Covariate": "mixedfast.covariates",
    "CrossProducts": "mixedfast.crossprod",
    "Design": "mixedfast.design",
    "Expansion": "mixedfast.bycell",
    "Factor": "mixedfast.columns",
    "Fit": "mixedfast.fitting",
    "FixedTerm": "mixedfast.coding",
    "GroupProducts": "mixedfast.crossprod",
    "GroupRecipe": "mixedfast.grouping",
    "LMMResult": "mixedfast.result",
    "LeastSquares": "mixedfast.ols.solve",
    "Meta": "mixedfast.crossprod",
    "ModelSpec": "mixedfast.formula",
    "Moments": "mixedfast.stream.moments",
    "Numeric": "mixedfast.frames",
    "OLSResult": "mixedfast.ols",
    "Optimum": "mixedfast.optimize",
    "PairProducts": "mixedfast.crossprod",
    "Piece": "mixedfast.coding",
    "Plan": "mixedfast.stream.plan",
    "RandomTerm": "mixedfast.formula",
    "ReTerm": "mixedfast.design",
    "Recipe": "mixedfast.design",
    "Remainder": "mixedfast.remainder",
    "RowSums": "mixedfast.rowsums",
    "Rows": "mixedfast.rows",
    "Shape": "mixedfast.coding",
    "Seen": "mixedfast.stream.survey",
    "Solution": "mixedfast.system",
    "Summed": "mixedfast.crossprod",
    "TermShape": "mixedfast.covariance",
}
#: What zipfile raises on a zip that is none, or no longer.
_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, UnicodeDecodeError, struct.error)
#: What reading values that no `save` wrote may come to: they are not what the classes take that they are given to.
_FORGED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: How values that JSON lacks are marked.
_KINDS = frozenset(["array", "dict", "float", "list", "number", "objects", "set", "strings"])
#: What NumPy may write without pickling, besides strings.
_PLAIN_KINDS = "biufcUmM"
#: The head of an array as NumPy writes it. NumPy's own reader would make room for what the head claims before it looks.
_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<type>[<>|=][biufcUmM]\d{1,9}(?:\[\w+\])?)', "
    rb"'fortran_order': (?P<fortran>True|False), 'shape': \((?P<shape>[\d, ]{0,200})\), \} *\n",
    re.DOTALL,
)


def save(thing: Any, path: str | PathLike[str]) -> None:
    """Write a result or cross-products to a file, all of it or nothing.

    Raises
    ------
    DataError
        When something in it cannot be written as data (a contrast that is a Python object, say); pickle it instead.
    """
    target = check_path("save", path)
    writer = _Writer()
    content = writer.encode(thing)
    arrays = [_npy(array) for array in writer.arrays]
    header = {
        "format": "mixedfast",
        "version": _VERSION,
        "holds": type(thing).__name__,
        "sha256": [hashlib.sha256(body).hexdigest() for body in arrays],
        "content": content,
    }
    text = json.dumps(header, allow_nan=False, ensure_ascii=False).encode()
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(unfinished, "w") as archive:
            for name, body in [(_HEADER, text), *((_member(i), body) for i, body in enumerate(arrays))]:
                # a fixed date: the same content is the same bytes
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), body)
            archive.comment = hashlib.sha256(text).hexdigest().encode()
        os.replace(unfinished, target)
    except OSError as error:
        error.filename, error.filename2 = str(target), None  # the name that the caller knows
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | PathLike[str]) -> Any:
    """Read what ``save`` wrote. Reading runs no code from the file.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    LMMResult, OLSResult or CrossProducts

    Raises
    ------
    DataError
        When the file is not one of ours, of another version, cut short or changed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     m.save(pathlib.Path(folder) / "sleep.mf")
    ...     again = mf.load(pathlib.Path(folder) / "sleep.mf")
    >>> again.criterion == m.criterion
    True
    """
    check_path("mf.load", path)
    with open(path, "rb") as stream:
        if stream.read(len(_PICKLES)) == _PICKLES:
            raise DataError(f"{path} was written by mixedfast 0.1 as a pickle, which could run code: save it again")
        size = stream.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(path) as archive:
            if _HEADER not in archive.namelist():
                raise DataError(f"{path} was not written by mixedfast's save")
            _require_plain_parts(archive.infolist(), size, path)
            return _read(archive, path)
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged, or was not written by mixedfast's save: {error}") from error


def _require_plain_parts(parts: list[zipfile.ZipInfo], size: int, path: str | PathLike[str]) -> None:
    """Raise DataError unless every part is stored as it is, within the file: zipfile goes where the list of parts points."""
    if any(part.compress_type != zipfile.ZIP_STORED or part.flag_bits & 1 for part in parts):
        raise DataError(f"{path} is damaged, or was not written by mixedfast's save: its parts are packed")
    for part in parts:
        if part.file_size != part.compress_size or not 0 <= part.header_offset <= size - part.file_size:
            raise DataError(f"{path} is damaged: its part {part.filename} would lie outside of the file")


def _read(archive: zipfile.ZipFile, path: str | PathLike[str]) -> Any:
    text = archive.read(_HEADER)
    if hashlib.sha256(text).hexdigest().encode() != archive.comment:
        raise DataError(f"{path} is damaged: its checksum does not match")
    try:
        header = json.loads(text)
        if header.get("format") != "mixedfast":
            raise DataError(f"{path} was not written by mixedfast's save")
        if header["version"] != _VERSION:
            raise DataError(f"{path} has version {header['version']} of the format; this mixedfast reads version {_VERSION}")
        arrays = [_array_of(_part(archive, i, digest, path), path) for i, digest in enumerate(header["sha256"])]
        thing = _Reader(arrays, path).decode(header["content"])
        if type(thing).__name__ != header["holds"] or header["holds"] not in _HOMES:
            raise DataError(f"{path} does not hold what it says, {header['holds']!r}")
    except MixedFastError:  # a formula that may not be evaluated, or not here
        raise
    except _FORGED as error:
        raise DataError(f"{path} holds what no save of mixedfast's wrote: {type(error).__name__}, {error}") from error
    return thing


def _part(archive: zipfile.ZipFile, i: int, digest: str, path: str | PathLike[str]) -> bytes:
    if _member(i) not in archive.namelist():
        raise DataError(f"{path} is damaged: a part is missing")
    body = archive.read(_member(i))
    if hashlib.sha256(body).hexdigest() != digest:
        raise DataError(f"{path} is damaged: the checksum of a part does not match")
    return body


def _array_of(body: bytes, path: str | PathLike[str]) -> np.ndarray:
    """The array that `_npy` wrote; its bytes must be as many as its head says."""
    head = _HEAD.match(body)
    if head is None or head.end() != 10 + int.from_bytes(head["length"], "little"):
        raise DataError(f"{path} is damaged: a part is no array of plain data")
    dtype = np.dtype(head["type"].decode())
    shape = tuple(int(size) for size in head["shape"].split(b",") if size.strip())
    if math.prod(shape) * dtype.itemsize != len(body) - head.end():
        raise DataError(f"{path} is damaged: an array of shape {shape} has {len(body) - head.end()} bytes")
    flat = np.frombuffer(body, dtype, offset=head.end()) if math.prod(shape) * dtype.itemsize else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if head["fortran"] == b"True" else "C").copy(order="K")


def _member(i: int) -> str:
    return f"arrays/{i:04d}.npy"


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


class _Writer:
    """Objects as JSON; arrays are set aside, each once however often it is met."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._places: dict[int, Any] = {}
        self._alive: list[np.ndarray] = []  # an id is an identity only while its object lives

    def encode(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            return {"number": self._array(np.asarray(value))}
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, tuple):
            return [self.encode(item) for item in value]
        if isinstance(value, list):
            return {"list": [self.encode(item) for item in value]}
        if isinstance(value, (frozenset, set)):
            return {"set": [self.encode(item) for item in sorted(value)]}
        if isinstance(value, Mapping):
            return {"dict": [[self.encode(key), self.encode(item)] for key, item in value.items()]}
        if isinstance(value, np.ndarray):
            return self._array(value)
        return self._object(value)

    def _array(self, value: np.ndarray) -> Any:
        if id(value) not in self._places:
            self._alive.append(value)
            self._places[id(value)] = self._labels(value) if value.dtype == object else {"array": self._aside(value)}
        return self._places[id(value)]

    def _labels(self, value: np.ndarray) -> Any:
        items = value.tolist()
        if value.ndim == 1 and all(isinstance(item, str) for item in items):
            encoded = [item.encode() for item in items]
            ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
            return {"strings": [self._aside(ends), self._aside(np.frombuffer(b"".join(encoded), np.uint8))]}
        return {"objects": [self.encode(item) for item in items]}

    def _aside(self, array: np.ndarray) -> int:
        if array.dtype.kind not in _PLAIN_KINDS:
            raise DataError(f"an array of {array.dtype} cannot be saved as plain data")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _object(self, value: Any) -> Any:
        name = type(value).__name__
        if not type(value).__module__.startswith(_HOMES.get(name, " ")):
            raise DataError(f"{value!r} (a {name}) cannot be saved as plain data; pickle the object if you must keep it")
        return {"class": name, "fields": {key: self.encode(item) for key, item in _fields(value).items()}}


def _fields(value: Any) -> dict[str, Any]:
    """What an object is made of: what it says itself, or the fields of a dataclass."""
    if hasattr(value, "__store__"):
        stored: dict[str, Any] = value.__store__()
        return stored
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if not f.name.startswith("_")}


class _Reader:
    def __init__(self, arrays: list[np.ndarray], path: str | PathLike[str]) -> None:
        self.arrays = arrays
        self.path = path
        self._labels: dict[int, np.ndarray] = {}

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(self.decode(item) for item in value)
        if not isinstance(value, dict):
            return value
        if not value:
            raise DataError(f"{self.path} holds a value of no kind")
        kind, content = next(iter(value.items()))
        if kind == "class":
            return self._object(content, value["fields"])
        if kind not in _KINDS:
            raise DataError(f"{self.path} holds a {kind!r}, which is no part of a mixedfast file")
        return getattr(self, f"_{kind}")(content)

    def _float(self, content: str) -> float:
        return float(content)

    def _list(self, content: list[Any]) -> list[Any]:
        return [self.decode(item) for item in content]

    def _set(self, content: list[Any]) -> frozenset[Any]:
        return frozenset(self.decode(item) for item in content)

    def _dict(self, content: list[Any]) -> dict[Any, Any]:
        return {self.decode(key): self.decode(item) for key, item in content}

    def _number(self, content: Any) -> Any:
        return self.decode(content)[()]

    def _array(self, content: int) -> np.ndarray:
        return self.arrays[content]

    def _strings(self, content: list[int]) -> np.ndarray:
        if content[0] not in self._labels:
            self._labels[content[0]] = self._cut(content)
        return self._labels[content[0]]

    def _cut(self, content: list[int]) -> np.ndarray:
        ends, text = self.arrays[content[0]].tolist(), self.arrays[content[1]].tobytes()
        out = np.empty(len(ends) - 1, dtype=object)
        out[:] = [text[a:b].decode() for a, b in pairwise(ends)]
        return out

    def _objects(self, content: list[Any]) -> np.ndarray:
        out = np.empty(len(content), dtype=object)
        out[:] = [self.decode(item) for item in content]
        return out

    def _object(self, name: str, fields: dict[str, Any]) -> Any:
        if name not in _HOMES:
            raise DataError(f"{self.path} names {name!r}, which is no part of a mixedfast file")
        made = getattr(import_module(_HOMES[name]), name)
        values = {key: self.decode(item) for key, item in fields.items()}
        try:
            return made.__restore__(values) if hasattr(made, "__restore__") else made(**values)
        except TypeError as error:
            raise DataError(f"{self.path} was written by another version of mixedfast ({name}: {error})") from error
