"""Work done so far, on disk: an interrupted pass over a stream goes on where it was."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from mixedfast._stored import stored
from mixedfast._validation import check_path
from mixedfast.data.storage import load, save
from mixedfast.errors import DataError

if TYPE_CHECKING:
    from mixedfast.crossprod.assemble import PartialSums
    from mixedfast.crossprod.streaming.first_pass import FirstPass
    from mixedfast.crossprod.streaming.plan import Plan

__all__ = ["Checkpoint", "CheckpointFile", "digest"]

#: Seconds between two writes.
_EVERY = 30.0


@stored("Checkpoint", whole=True)
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a pass.

    Parameters
    ----------
    model : str
        What was asked: formula, weights, and the rest. Another question cannot go on from here.
    seen : FirstPass or None
        The first pass so far.
    seen_marks, summed_marks : tuple of str
        The units done in either pass.
    plan : Plan or None
        Once the first pass is over.
    sums : PartialSums or None
        The second pass so far.
    """

    model: str
    seen: FirstPass | None = None
    seen_marks: tuple[str, ...] = ()
    plan: Plan | None = None
    sums: PartialSums | None = None
    summed_marks: tuple[str, ...] = ()


def digest(value: Any) -> str:
    """A short name for what may be long: the levels given, contrasts."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


class CheckpointFile:
    """A checkpoint file, or none at all: then nothing is kept."""

    def __init__(self, path: str | PathLike[str] | None, model: str) -> None:
        self.path = None if path is None else check_path("checkpoint=", path)
        if self.path is not None and not self.path.parent.is_dir():
            raise DataError(f"checkpoint={str(path)!r}: there is no folder {self.path.parent}")
        if self.path is not None and self.path.is_dir():
            raise DataError(f"checkpoint={str(path)!r} is a folder: give the name of a file")
        self.now = Checkpoint(model)
        self._written = time.monotonic()
        if self.path is not None and self.path.exists():
            found = load(self.path)
            if not isinstance(found, Checkpoint) or found.model != model:
                raise DataError(
                    f"{path} is no checkpoint of this model: give another file, or delete it "
                    "to start again"
                )
            self.now = found

    def update(self, **changes: Any) -> None:
        """Take note, and write when the last time is long enough ago."""
        self.now = replace(self.now, **changes)
        if self.path is not None and time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        if self.path is not None:
            save(self.now, self.path)
            self._written = time.monotonic()

    def restart(self) -> None:
        """Forget what is done."""
        self.now = Checkpoint(self.now.model)

    def finish(self) -> None:
        """All is done: the file goes."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
