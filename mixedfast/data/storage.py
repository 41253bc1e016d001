"""Results and cross-products as files that are only data: reading one never runs code.

A file is a zip: ``header.json`` says what it holds, ``arrays/*.npy`` are its numbers, and the zip's comment is the
SHA-256 of the header, which in turn lists the SHA-256 of every array. Objects are written field by field. The checksum finds
damage; it is no signature: whoever can rewrite the whole file can rewrite the checksum too. So nothing that is read is
believed: sizes are measured before room is made, and an object is made when `mixedfast.data.storage_schema` has looked through its fields.
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

from mixedfast._stored import REGISTRY, name_of
from mixedfast._validation import check_path
from mixedfast.data.storage_schema import complaint_of, is_plain_type
from mixedfast.data.whole_file import whole_file
from mixedfast.errors import DataError

__all__ = ["load", "save"]

_VERSION = 3
_HEADER = "header.json"
_KEYS = frozenset(["format", "version", "holds", "sha256", "content"])
_PICKLES = b"mixedfast file, version 1\n"
#: What zipfile raises on a zip that is none, or no longer.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,
    struct.error,
)
#: Elements that an array without any might have in its other dimensions.
_LONGEST = 1 << 48
#: How deep values may lie within each other. Those of the largest models lie a dozen deep.
_DEEPEST = 60
#: The head of an array as NumPy writes it. NumPy's own reader would make room for what the head claims before it looks.
_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<type>[^']{1,40})', "
    rb"'fortran_order': (?P<fortran>True|False), 'shape': \((?P<shape>(?:\d{1,18}, ?){0,8}(?:\d{1,18})?)\), \} *\n",
    re.DOTALL,
)


def save(thing: Any, path: str | PathLike[str]) -> None:
    """Write a result or cross-products to a file, all of it or nothing.

    Raises
    ------
    DataError
        When something in it cannot be written as data (a contrast that is a Python object, say); pickle it instead.
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
            # a fixed date: the same content is the same bytes
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), body)
        archive.comment = hashlib.sha256(text).hexdigest().encode()


def load(path: str | PathLike[str]) -> Any:
    """Read an object of a class that is registered by now (see `mixedfast.load`, which registers all).

    Raises
    ------
    DataError
        When the file is not a mixedfast file, of another version, cut short or changed.
    """
    check_path("mf.load", path)
    with open(path, "rb") as stream:
        if stream.read(len(_PICKLES)) == _PICKLES:
            raise DataError(
                f"{path} was written by mixedfast 0.1 as a pickle, which could run code: save it again"
            )
        size = stream.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(path) as archive:
            _require_plain_parts(archive.infolist(), size, path)
            return _read(archive, path)
    except _DAMAGE as error:
        raise DataError(
            f"{path} is damaged, or was not written by mixedfast's save: {error}"
        ) from error


def _require_plain_parts(
    parts: list[zipfile.ZipInfo], size: int, path: str | PathLike[str]
) -> None:
    """Raise DataError unless every part is stored as it is, once, within the file: zipfile goes where the list of parts points.

    Nothing is packed and parts share no bytes, so that what is read is never more than the file is long.
    """
    names = [part.filename for part in parts]
    if _HEADER not in names:
        raise DataError(f"{path} was not written by mixedfast's save")
    if len(set(names)) != len(names):
        raise DataError(f"{path} is damaged: it has two parts of one name")
    if any(part.compress_type != zipfile.ZIP_STORED or part.flag_bits & 1 for part in parts):
        raise DataError(
            f"{path} is damaged, or was not written by mixedfast's save: its parts are packed"
        )
    for part in parts:
        if (
            part.file_size != part.compress_size
            or not 0 <= part.header_offset <= size - part.file_size
        ):
            raise DataError(
                f"{path} is damaged: its part {part.filename} would lie outside of the file"
            )
    if sum(part.file_size for part in parts) > size:
        raise DataError(f"{path} is damaged: its parts would be longer than the file")


def _read(archive: zipfile.ZipFile, path: str | PathLike[str]) -> Any:
    text = archive.read(_HEADER)
    if hashlib.sha256(text).hexdigest().encode() != archive.comment:
        raise DataError(f"{path} is damaged: its checksum does not match")
    header = _header_of(text, path)
    if header["version"] != _VERSION:
        raise DataError(
            f"{path} has version {header['version']} of the format; this mixedfast reads version {_VERSION}"
        )
    if (
        header.keys() != _KEYS
        or not isinstance(header["sha256"], list)
        or not _is_whole(header["holds"])
    ):
        raise DataError(
            f"{path} holds what no save of mixedfast's wrote: its header has other parts"
        )
    arrays = [
        _array_of(_part(archive, i, digest, path), path)
        for i, digest in enumerate(header["sha256"])
    ]
    thing = _Reader(arrays, path).decode(header["content"])
    if name_of(type(thing)) != header["holds"]:
        raise DataError(f"{path} does not hold what it says, {header['holds']!r}")
    return thing


def _is_whole(name: Any) -> bool:
    """Return whether a file as a whole may be of a class."""
    return isinstance(name, str) and name in REGISTRY and REGISTRY[name].whole


def _header_of(text: bytes, path: str | PathLike[str]) -> dict[str, Any]:
    """The header, no key of it there twice."""
    try:
        header = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except (
        ValueError,
        RecursionError,
    ) as error:  # what json says of a text that is none of its own, and of one too deep
        raise DataError(
            f"{path} holds what no save of mixedfast's wrote: its header is no JSON of ours ({error})"
        ) from error
    if (
        not isinstance(header, dict)
        or header.get("format") != "mixedfast"
        or not isinstance(header.get("version"), int)
    ):
        raise DataError(f"{path} was not written by mixedfast's save")
    return header


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"a number {name}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def _part(archive: zipfile.ZipFile, i: int, digest: str, path: str | PathLike[str]) -> bytes:
    if _member(i) not in archive.namelist():
        raise DataError(f"{path} is damaged: a part is missing")
    body = archive.read(_member(i))
    if hashlib.sha256(body).hexdigest() != digest:
        raise DataError(f"{path} is damaged: the checksum of a part does not match")
    return body


def _array_of(body: bytes, path: str | PathLike[str]) -> np.ndarray:
    """The array that `_npy` wrote; its bytes must be as many as its head says, before room is made for any."""
    head = _HEAD.match(body)
    if head is None or head.end() != 10 + int.from_bytes(head["length"], "little"):
        raise DataError(f"{path} is damaged: a part is no array of plain data")
    descr, shape = (
        head["type"].decode("latin-1"),
        tuple(int(size) for size in re.findall(rb"\d+", head["shape"])),
    )
    if not is_plain_type(descr):
        raise DataError(f"{path} is damaged: an array of {descr!r} is no plain data")
    dtype, content = np.dtype(descr), memoryview(body)[head.end() :]
    if (
        math.prod(shape) * dtype.itemsize != len(content)
        or math.prod(filter(None, shape)) > _LONGEST
    ):
        raise DataError(f"{path} is damaged: an array of shape {shape} has {len(content)} bytes")
    if not _is_sound(np.frombuffer(content, np.uint8), dtype):
        raise DataError(f"{path} is damaged: an array of {descr!r} holds what is none")
    flat = np.frombuffer(content, dtype) if len(content) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if head["fortran"] == b"True" else "C").copy(order="K")


def _is_sound(content: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Whether bytes stand for values of a type: True and False are 1 and 0, and letters are Unicode's. All numbers are."""
    if dtype.kind == "b":
        return not len(content) or content.max() <= 1
    if dtype.kind == "U":
        letters = content.view(np.dtype("u4").newbyteorder(dtype.byteorder))
        return not len(letters) or letters.max() < 0x110000
    return True


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
                f"{value!r} (a {type(value).__name__}) cannot be saved as plain data; pickle the object if you must keep it"
            )
        return {
            "class": name,
            "fields": {
                REGISTRY[name].renamed.get(key, key): self.encode(item)
                for key, item in _fields(value).items()
            },
        }


def _fields(value: Any) -> dict[str, Any]:
    """What an object is made of: what it says itself, or the fields of a dataclass."""
    if hasattr(value, "__store__"):
        stored: dict[str, Any] = value.__store__()
        return stored
    return {
        f.name: getattr(value, f.name)
        for f in dataclasses.fields(value)
        if not f.name.startswith("_")
    }


class _Reader:
    """Values out of the JSON of a header: what is not of the form that `_Writer` gives it is refused."""

    def __init__(self, arrays: list[np.ndarray], path: str | PathLike[str]) -> None:
        self.arrays = arrays
        self.path = path
        self._labels: dict[tuple[int, int], np.ndarray] = {}

    def decode(self, value: Any, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            self._refuse(f"values more than {_DEEPEST} deep")
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
            self._refuse(f"a value of the kind {kind!r}, which is no part of a mixedfast file")
        if not isinstance(content, list):
            self._refuse(f"{kind} of no list")
        if kind == "strings":
            return self._strings(content)
        return getattr(self, f"_{kind}")([self.decode(item, depth + 1) for item in content])

    def _refuse(self, what: str) -> NoReturn:
        raise DataError(f"{self.path} holds what no save of mixedfast's wrote: {what}")

    def _float(self, content: Any) -> float:
        if content not in ("nan", "inf", "-inf"):
            self._refuse("a number that is none")
        return float(content)

    def _list(self, content: list[Any]) -> list[Any]:
        return content

    def _set(self, content: list[Any]) -> frozenset[Any]:
        return frozenset(self._keys(content))

    def _dict(self, content: list[Any]) -> dict[Any, Any]:
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in content):
            self._refuse("a mapping of no pairs")
        return dict(
            zip(self._keys([key for key, _ in content]), [item for _, item in content], strict=True)
        )

    def _keys(self, keys: list[Any]) -> list[Any]:
        """Keys that stand for themselves: text, numbers, and tuples of them; each once."""
        if not all(_is_key(key) for key in keys) or len(set(keys)) != len(keys):
            self._refuse("keys that are none, or one twice")
        return keys

    def _number(self, content: Any) -> Any:
        array = self.decode(content, _DEEPEST)
        if not isinstance(array, np.ndarray) or array.ndim:
            self._refuse("a number that is none")
        return array[()]

    def _array(self, content: Any) -> np.ndarray:
        if not isinstance(content, int) or not 0 <= content < len(self.arrays):
            self._refuse("an array that it lacks")
        return self.arrays[content]

    def _strings(self, content: list[Any]) -> np.ndarray:
        if len(content) != 2:
            self._refuse("text of no letters")
        ends, text = (self._array(at) for at in content)
        place = (content[0], content[1])
        if place not in self._labels:
            self._labels[place] = self._cut(ends, text)
        return self._labels[place]

    def _cut(self, ends: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Labels from the places in a text where they end."""
        good = (
            ends.dtype == np.int64
            and text.dtype == np.uint8
            and ends.ndim == text.ndim == 1
            and len(ends) > 0
        )
        if not good or ends[0] != 0 or ends[-1] != len(text) or bool((np.diff(ends) < 0).any()):
            self._refuse("text that is cut outside of its letters")
        body = text.tobytes()
        out = np.empty(len(ends) - 1, dtype=object)
        try:
            out[:] = [body[a:b].decode() for a, b in pairwise(ends.tolist())]
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path} holds what no save of mixedfast's wrote: text that is none ({error})"
            ) from error
        return out

    def _objects(self, content: list[Any]) -> np.ndarray:
        out = np.empty(len(content), dtype=object)
        out[:] = content
        return out

    def _object(self, name: Any, given: Any, depth: int) -> Any:
        if not isinstance(name, str) or name not in REGISTRY:
            self._refuse(f"a {name!r}, which is no part of a mixedfast file")
        if not isinstance(given, dict):
            self._refuse(f"a {name} of no fields")
        renamed = REGISTRY[name].renamed
        attributes = {in_file: key for key, in_file in renamed.items()}
        if not given.keys().isdisjoint(renamed):
            self._refuse(f"a {name} of {', '.join(given)}")
        values = {
            attributes.get(str(key), str(key)): self.decode(item, depth)
            for key, item in given.items()
        }
        complaint = complaint_of(name, values)
        if complaint is not None:
            self._refuse(complaint)
        made: Any = REGISTRY[name].made
        return made.__restore__(values) if hasattr(made, "__restore__") else made(**values)


def _is_key(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_key(item) for item in value)
    return value is None or isinstance(value, (str, bool, int, float, np.generic))
