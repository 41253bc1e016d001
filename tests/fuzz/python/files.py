"""Saved files: reading gives a result or an error of mixedfast, whoever wrote the file.

Some inputs are files as they are. Others are changes of the parts of a file that was saved, under
checksums made anew: damage that no checksum finds.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from harness import Choices, fuzz, nothing_happens

#: Values that a header may suddenly hold.
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3,
    2**31,
    2**63,
    2**70,
    1e308,
    "",
    "x",
    "Fit",
    "posix",
    "__class__",
    "I(__import__('os').system('id'))",
    [],
    {},
    [[]],
    {"array": 0},
    {"array": -1},
    {"array": 10**9},
    {"strings": [0, 1]},
    {"strings": [1, 0]},
    {"number": {"array": 0}},
    {"number": 1},
    {"float": "nan"},
    {"float": "one"},
    {"float": 3},
    {"class": "Fit", "fields": {}},
    {"class": "os", "fields": {}},
    {"class": "Design"},
    {"class": ["Fit"], "fields": 3},
    {"dict": [[[], 1]]},
    {"dict": [[{"list": []}, 1]]},
    {"dict": 3},
    {"set": [{"list": []}]},
    {"list": 3},
    {"objects": [1, "a"]},
    {"objects": 3},
    {"": 0},
    {"reader": 0},
    {"_object": 0},
]
SHAPES = [
    "(3,)",
    "()",
    "(-1,)",
    "(1000000000000,)",
    "(2, 1000000000)",
    "(0,)",
    "(18446744073709551615, 2)",
    "3",
    "(1.5,)",
]
TYPES = [
    "'<f8'",
    "'|O'",
    "'<i4'",
    "'|V1000000000'",
    "'<U1000000000'",
    "[('a', '<f8')]",
    "'<M8[s]'",
    "'?'",
    "'zz'",
    "3",
]


@functools.cache
def saved() -> tuple[dict[str, Any], list[bytes]]:
    """Return the header and the arrays of a model.

    It has formulaic's own recipe, kept rows, and labels.
    """
    import mixedfast as mf

    sleep = mf.load_dataset("sleepstudy").iloc[:60]
    m = mf.lmer("Reaction ~ poly(Days, 2) + (Days | Subject)", sleep)
    m.keep_rows = True
    with tempfile.TemporaryDirectory() as folder:
        m.save(Path(folder) / "m.mf")
        with zipfile.ZipFile(Path(folder) / "m.mf") as archive:
            header = json.loads(archive.read("header.json"))
            return header, [
                archive.read(f"arrays/{i:04d}.npy") for i in range(len(header["sha256"]))
            ]


def packed(header: Any, arrays: list[bytes]) -> bytes:
    """Return a file with correct checksums."""
    if isinstance(header, dict) and "sha256" in header:
        header = {**header, "sha256": [hashlib.sha256(body).hexdigest() for body in arrays]}
    text = json.dumps(header).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("header.json", text)
        for i, body in enumerate(arrays):
            archive.writestr(f"arrays/{i:04d}.npy", body)
        archive.comment = hashlib.sha256(text).hexdigest().encode()
    return out.getvalue()


def changed(value: Any, choices: Choices) -> Any:
    """Return a copy with one part, chosen on the way down, replaced, left out or doubled."""
    if isinstance(value, (dict, list)) and value and choices.byte() < 235:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[choices.below(len(keys))]
        copied: Any = dict(value) if isinstance(value, dict) else list(value)
        copied[key] = changed(value[key], choices)
        return copied
    how = choices.below(4)
    if how == 0 and isinstance(value, dict) and value:
        return dict(list(value.items())[1:])
    if how == 1 and isinstance(value, list):
        return value[:-1] if choices.below(2) else [*value, *value]
    return choices.one(ODD)


def other_array(body: bytes, choices: Choices) -> bytes:
    """Return an array whose header is wrong, or that holds other bytes."""
    how = choices.below(4)
    if how == 0:
        head = f"{{'descr': {choices.one(TYPES)}, 'fortran_order': False, 'shape': {choices.one(SHAPES)}, }}\n".encode()
        return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body[128:]
    if how == 1:
        return body[: choices.below(len(body) + 1)]
    at = choices.below(len(body) or 1)
    return body[:at] + choices.rest()[:8] + body[at + len(choices.rest()[:8]) :]


def file_of(data: bytes) -> bytes:
    """Return the file that a fuzzer's bytes stand for."""
    choices = Choices(data)
    kind = choices.below(4)
    if kind == 0:
        return choices.rest()
    header, arrays = saved()
    arrays = list(arrays)
    if kind == 1:
        whole = packed(header, arrays)
        at = choices.below(len(whole))
        return (
            whole[:at]
            + choices.rest()[:64]
            + (b"" if choices.below(8) == 0 else whole[at + len(choices.rest()[:64]) :])
        )
    for _ in range(1 + choices.below(3)):
        if kind == 2:
            header = changed(header, choices)
        else:
            i = choices.below(len(arrays))
            arrays[i] = other_array(arrays[i], choices)
    return packed(header, arrays)


def use(model: Any) -> None:
    """Use a result with arrays from anywhere: any error may come, but no crash or side effect."""
    for call in (
        lambda: model.predict(),
        lambda: model.ranef(),
        lambda: model.coef_table(),
        lambda: str(model.summary()),
    ):
        try:
            call()
        except Exception as error:
            if type(error).__name__ == "SideEffectError":
                raise


def one_input(data: bytes) -> None:
    import mixedfast as mf

    saved()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.mf"
        path.write_bytes(file_of(data))
        with nothing_happens():
            try:
                model = mf.load(path)
            except mf.MixedFastError:
                return
            use(model)


if __name__ == "__main__":
    fuzz(one_input, ["mixedfast", "zipfile"])
