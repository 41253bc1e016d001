"""Checkpoints: files with the state of a pass, from which an interrupted pass continues."""

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


@stored("Checkpoint", renamed={"first_pass": "seen", "first_marks": "seen_marks"}, whole=True)
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a pass.

    Parameters
    ----------
    model : str
        Formula, weights and the other arguments; a pass with other arguments cannot continue.
    first_pass : FirstPass or None
        The first pass so far.
    first_marks, summed_marks : tuple of str
        Marks of the units that the first and the second pass have read.
    plan : Plan or None
        After the first pass.
    sums : PartialSums or None
        The second pass so far.
    """

    model: str
    first_pass: FirstPass | None = None
    first_marks: tuple[str, ...] = ()
    plan: Plan | None = None
    sums: PartialSums | None = None
    summed_marks: tuple[str, ...] = ()


def digest(value: Any) -> str:
    """Compute a short name for a long argument: levels, contrasts."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


class CheckpointFile:
    """A checkpoint and its file.

    Parameters
    ----------
    path : str, path or None
        None for a state that is not written.
    model : str
        See `Checkpoint`.

    Raises
    ------
    DataError
        When the path cannot be written, or its file has another model.
    """

    def __init__(self, path: str | PathLike[str] | None, model: str) -> None:
        self.path = None if path is None else check_path("checkpoint=", path)
        if self.path is not None and not self.path.parent.is_dir():
            raise DataError(f"checkpoint={str(path)!r}: there is no folder {self.path.parent}")
        if self.path is not None and self.path.is_dir():
            raise DataError(f"checkpoint={str(path)!r} is a folder: give the name of a file")
        self.state = Checkpoint(model)
        self._written = time.monotonic()
        if self.path is not None and self.path.exists():
            found = load(self.path)
            if not isinstance(found, Checkpoint) or found.model != model:
                raise DataError(
                    f"{path} is no checkpoint of this model: give another file, or delete it to "
                    "start again"
                )
            self.state = found

    def update(self, **changes: Any) -> None:
        """Change the state, and write it if the last time is long ago."""
        self.state = replace(self.state, **changes)
        if self.path is not None and time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        """Write the state."""
        if self.path is not None:
            save(self.state, self.path)
            self._written = time.monotonic()

    def restart(self) -> None:
        """Reset the state."""
        self.state = Checkpoint(self.state.model)

    def delete(self) -> None:
        """Delete the file after the last pass."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
