"""Files of results and cross-products.

A file holds data only, and reading it never runs code. It is a zip archive: ``header.json`` holds
the objects field by field, ``arrays/*.npy`` hold their arrays, and the comment of the archive is
the SHA-256 of the header, which lists the SHA-256 of every array. The checksums find damage. They
are not a signature: who can rewrite the file can rewrite the checksums too. Nothing in a file is
therefore trusted: sizes are checked before memory is allocated, and `mixedfast.data.storage_schema`
checks the fields of an object before it is made.
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
from itertools import pairwise
from os import PathLike
from typing import Any, NoReturn

import numpy as np

from mixedfast._stored import REGISTRY, is_plain_value, name_of
from mixedfast._validation import check_path
from mixedfast.data.storage_schema import first_fault, is_plain_type
from mixedfast.data.whole_file import whole_file
from mixedfast.errors import DataError

__all__ = ["load", "save"]

_VERSION = 3
_HEADER = "header.json"
_KEYS = frozenset(["format", "version", "holds", "sha256", "content"])
_PICKLES = b"mixedfast file, version 1\n"
#: Errors of zipfile for a file that is not a zip archive, or a damaged one.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,
    struct.error,
)
#: Most elements that the other dimensions of an empty array may stand for.
_LONGEST = 1 << 48
#: Deepest nesting of values. The largest models need about twelve levels.
_DEEPEST = 60
#: Header of an array as NumPy writes it. NumPy's reader allocates memory for the shape in the
#: header before it compares that with the length of the file.
_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<type>[^']{1,40})', "
    rb"'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,18}, ?){0,8}(?:\d{1,18})?)\), \} *\n",
    re.DOTALL,
)


def save(thing: Any, path: str | PathLike[str]) -> None:
    """Write a result or cross-products to a file; when that fails no file is left.

    Raises
    ------
    DataError
        When a part of it cannot be written as data, such as a contrast that is a Python object.
    """
    check_path("save", path)
    writer = _Writer()
    content = writer.encode(thing)
    arrays = [_npy(array) for array in writer.arrays]
    header = {
        "format": "mixedfast",
        "version": _VERSION,
        "holds": name_of(type(thing)),
        "sha256": [hashlib.sha256(body).hexdigest() for body in arrays],
        "content": content,
    }
    text = json.dumps(header, allow_nan=False, ensure_ascii=False).encode()
    with whole_file("save", path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, body in [
            (_HEADER, text),
            *((_member(i), body) for i, body in enumerate(arrays)),
        ]:
            # a fixed date, so that the same content gives the same bytes
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), body)
        archive.comment = hashlib.sha256(text).hexdigest().encode()


def load(path: str | PathLike[str]) -> Any:
    """Read a file that `save` wrote; `mixedfast.load` registers the classes it may hold.

    Raises
    ------
    DataError
        When the file is not a mixedfast file, of another version, cut short or changed.
    """
    check_path("mf.load", path)
    with open(path, "rb") as stream:
        if stream.read(len(_PICKLES)) == _PICKLES:
            raise DataError(
                f"{path} is a pickle of mixedfast 0.1, and reading a pickle can run code: "
                "save the result again"
            )
        size = stream.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(path) as archive:
            _require_plain_parts(archive.infolist(), size, path)
            return _read(archive, path)
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged, or is not a mixedfast file: {error}") from error


def _require_plain_parts(
    parts: list[zipfile.ZipInfo], size: int, path: str | PathLike[str]
) -> None:
    """Raise DataError unless each part is uncompressed, has its own name and lies within the file.

    Parts share no bytes, so that never more is read than the length of the file. zipfile itself
    does not check the offsets in its list of parts.
    """
    names = [part.filename for part in parts]
    if _HEADER not in names:
        raise DataError(f"{path} is not a mixedfast file")
    if len(set(names)) != len(names):
        raise DataError(f"{path} is damaged: two parts have the same name")
    if any(part.compress_type != zipfile.ZIP_STORED or part.flag_bits & 1 for part in parts):
        raise DataError(f"{path} is damaged, or is not a mixedfast file: its parts are compressed")
    for part in parts:
        if (
            part.file_size != part.compress_size
            or not 0 <= part.header_offset <= size - part.file_size
        ):
            raise DataError(f"{path} is damaged: its part {part.filename} lies outside of the file")
    if sum(part.file_size for part in parts) > size:
        raise DataError(f"{path} is damaged: its parts are longer than the file")


def _read(archive: zipfile.ZipFile, path: str | PathLike[str]) -> Any:
    text = archive.read(_HEADER)
    if hashlib.sha256(text).hexdigest().encode() != archive.comment:
        raise DataError(f"{path} is damaged: its checksum does not match")
    header = _header_of(text, path)
    if header["version"] != _VERSION:
        raise DataError(
            f"{path} has version {header['version']} of the format, and this version of mixedfast "
            f"reads version {_VERSION}"
        )
    if (
        header.keys() != _KEYS
        or not isinstance(header["sha256"], list)
        or not _is_whole(header["holds"])
    ):
        raise _invalid(path, "its header has other fields")
    arrays = [
        _array_of(_part(archive, i, digest, path), path)
        for i, digest in enumerate(header["sha256"])
    ]
    thing = _Reader(arrays, path).decode(header["content"])
    if name_of(type(thing)) != header["holds"]:
        raise _invalid(path, f"it does not hold a {header['holds']}, as its header says")
    return thing


def _invalid(path: str | PathLike[str], what: str) -> DataError:
    return DataError(f"{path} is not a valid mixedfast file: {what}")


def _is_whole(name: Any) -> bool:
    """Return whether a file may hold an object of a class by itself."""
    return isinstance(name, str) and name in REGISTRY and REGISTRY[name].whole


def _header_of(text: bytes, path: str | PathLike[str]) -> dict[str, Any]:
    """Parse the header; a key must not occur twice."""
    try:
        header = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_as_dict)
    except (ValueError, RecursionError) as error:  # RecursionError: values nested too deep
        raise _invalid(path, f"its header cannot be read as JSON ({error})") from error
    if (
        not isinstance(header, dict)
        or header.get("format") != "mixedfast"
        or not isinstance(header.get("version"), int)
    ):
        raise DataError(f"{path} is not a mixedfast file")
    return header


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"a number {name}")


def _as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return made


def _part(archive: zipfile.ZipFile, i: int, digest: str, path: str | PathLike[str]) -> bytes:
    if _member(i) not in archive.namelist():
        raise DataError(f"{path} is damaged: a part is missing")
    body = archive.read(_member(i))
    if hashlib.sha256(body).hexdigest() != digest:
        raise DataError(f"{path} is damaged: the checksum of a part does not match")
    return body


def _array_of(body: bytes, path: str | PathLike[str]) -> np.ndarray:
    """Read an array that `_npy` wrote; check its length in bytes before memory is allocated."""
    head = _HEAD.match(body)
    if head is None or head.end() != 10 + int.from_bytes(head["length"], "little"):
        raise DataError(f"{path} is damaged: a part is not an array of plain data")
    descr, shape = (
        head["type"].decode("latin-1"),
        tuple(int(size) for size in re.findall(rb"\d+", head["shape"])),
    )
    if not is_plain_type(descr):
        raise DataError(f"{path} is damaged: an array of type {descr!r} is not plain data")
    dtype, content = np.dtype(descr), memoryview(body)[head.end() :]
    if (
        math.prod(shape) * dtype.itemsize != len(content)
        or math.prod(filter(None, shape)) > _LONGEST
    ):
        raise DataError(f"{path} is damaged: an array of shape {shape} has {len(content)} bytes")
    if not _is_sound(np.frombuffer(content, np.uint8), dtype):
        raise DataError(f"{path} is damaged: an array of type {descr!r} holds invalid values")
    flat = np.frombuffer(content, dtype) if len(content) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if head["fortran"] == b"True" else "C").copy(order="K")


def _is_sound(content: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Return whether bytes are values of a type: truth values 0 or 1, characters of Unicode."""
    if dtype.kind == "b":
        return not len(content) or content.max() <= 1
    if dtype.kind == "U":
        characters = content.view(np.dtype("u4").newbyteorder(dtype.byteorder))
        return not len(characters) or characters.max() < 0x110000
    return True


def _member(i: int) -> str:
    return f"arrays/{i:04d}.npy"


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


class _Writer:
    """Conversion of objects to JSON; arrays are collected, each once however often it occurs."""

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
            self._places[id(value)] = (
                self._labels(value) if value.dtype == object else {"array": self._aside(value)}
            )
        return self._places[id(value)]

    def _labels(self, value: np.ndarray) -> Any:
        items = value.tolist()
        if value.ndim == 1 and all(isinstance(item, str) for item in items):
            encoded = [item.encode() for item in items]
            ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
            return {
                "strings": [
                    self._aside(ends),
                    self._aside(np.frombuffer(b"".join(encoded), np.uint8)),
                ]
            }
        return {"objects": [self.encode(item) for item in items]}

    def _aside(self, array: np.ndarray) -> int:
        if not is_plain_type(array.dtype.str):
            raise DataError(f"an array of {array.dtype} cannot be saved as plain data")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _object(self, value: Any) -> Any:
        name = name_of(type(value))
        if name is None:
            raise DataError(
                f"{value!r} (a {type(value).__name__}) cannot be saved as plain data: "
                "pickle the object instead"
            )
        return {
            "class": name,
            "fields": {
                REGISTRY[name].renamed.get(key, key): self.encode(item)
                for key, item in _fields(value).items()
            },
        }


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields to save: those that ``__store__`` gives, or those of the dataclass."""
    if hasattr(value, "__store__"):
        stored: dict[str, Any] = value.__store__()
        return stored
    return {
        f.name: getattr(value, f.name)
        for f in dataclasses.fields(value)
        if not f.name.startswith("_")
    }


class _Reader:
    """Conversion of JSON to objects; DataError for anything that `_Writer` does not write."""

    def __init__(self, arrays: list[np.ndarray], path: str | PathLike[str]) -> None:
        self.arrays = arrays
        self.path = path
        self._labels: dict[tuple[int, int], np.ndarray] = {}

    def decode(self, value: Any, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            self._refuse(f"values are nested more than {_DEEPEST} deep")
        if isinstance(value, list):
            return tuple(self.decode(item, depth + 1) for item in value)
        if not isinstance(value, dict):
            return value
        if value.keys() == {"class", "fields"}:
            return self._object(value["class"], value["fields"], depth + 1)
        kind, content = next(iter(value.items())) if len(value) == 1 else ("", None)
        if kind in ("array", "float", "number"):
            return getattr(self, f"_{kind}")(content)
        if kind not in ("dict", "list", "objects", "set", "strings"):
            self._refuse(f"a value is of the unknown kind {kind!r}")
        if not isinstance(content, list):
            self._refuse(f"the content of a value of the kind {kind!r} is not a list")
        if kind == "strings":
            return self._strings(content)
        return getattr(self, f"_{kind}")([self.decode(item, depth + 1) for item in content])

    def _refuse(self, what: str) -> NoReturn:
        raise _invalid(self.path, what)

    def _float(self, content: Any) -> float:
        if content not in ("nan", "inf", "-inf"):
            self._refuse("a number is invalid")
        return float(content)

    def _list(self, content: list[Any]) -> list[Any]:
        return content

    def _set(self, content: list[Any]) -> frozenset[Any]:
        return frozenset(self._keys(content))

    def _dict(self, content: list[Any]) -> dict[Any, Any]:
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in content):
            self._refuse("an element of a mapping is not a pair")
        return dict(
            zip(self._keys([key for key, _ in content]), [item for _, item in content], strict=True)
        )

    def _keys(self, keys: list[Any]) -> list[Any]:
        """Return keys, each once, that are text, numbers or tuples of these."""
        if not all(_is_key(key) for key in keys) or len(set(keys)) != len(keys):
            self._refuse("a key is invalid, or occurs twice")
        return keys

    def _number(self, content: Any) -> Any:
        array = self.decode(content, _DEEPEST)
        if not isinstance(array, np.ndarray) or array.ndim:
            self._refuse("a number is invalid")
        return array[()]

    def _array(self, content: Any) -> np.ndarray:
        if not isinstance(content, int) or not 0 <= content < len(self.arrays):
            self._refuse("an array is missing")
        return self.arrays[content]

    def _strings(self, content: list[Any]) -> np.ndarray:
        if len(content) != 2:
            self._refuse("a table of strings is incomplete")
        ends, text = (self._array(at) for at in content)
        key = (content[0], content[1])
        if key not in self._labels:
            self._labels[key] = self._split(ends, text)
        return self._labels[key]

    def _split(self, ends: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Split a text (bytes) at the positions where its strings end."""
        good = (
            ends.dtype == np.int64
            and text.dtype == np.uint8
            and ends.ndim == text.ndim == 1
            and len(ends) > 0
        )
        if not good or ends[0] != 0 or ends[-1] != len(text) or bool((np.diff(ends) < 0).any()):
            self._refuse("the strings of a table do not lie within its text")
        body = text.tobytes()
        out = np.empty(len(ends) - 1, dtype=object)
        try:
            out[:] = [body[a:b].decode() for a, b in pairwise(ends.tolist())]
        except UnicodeDecodeError as error:
            raise _invalid(self.path, f"a text is not UTF-8 ({error})") from error
        return out

    def _objects(self, content: list[Any]) -> np.ndarray:
        out = np.empty(len(content), dtype=object)
        out[:] = content
        return out

    def _object(self, name: Any, given: Any, depth: int) -> Any:
        if not isinstance(name, str) or name not in REGISTRY:
            self._refuse(f"it holds an object of the unknown class {name!r}")
        if not isinstance(given, dict):
            self._refuse(f"a {name} has no fields")
        renamed = REGISTRY[name].renamed
        attributes = {in_file: key for key, in_file in renamed.items()}
        if not given.keys().isdisjoint(renamed):
            self._refuse(
                f"a {name} has the unknown fields {', '.join(sorted(given.keys() & renamed))}"
            )
        values = {
            attributes.get(str(key), str(key)): self.decode(item, depth)
            for key, item in given.items()
        }
        fault = first_fault(name, values)
        if fault is not None:
            self._refuse(fault)
        made: Any = REGISTRY[name].made
        return made.__restore__(values) if hasattr(made, "__restore__") else made(**values)


def _is_key(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_key(item) for item in value)
    return value is None or is_plain_value(value)
