"""Child processes that fit: started, told to go, timed out, and their memory read from outside."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.libraries import Library
from benchmarks.worker import MARK

__all__ = ["Child", "TimedOut", "thread_settings"]

ROOT = Path(__file__).parent.parent
#: Loading the table, importing the library and the untimed fit of a toy table may take this long
#: beyond the limit.
SECONDS_TO_START = 120.0


#: Characters of what a child prints that are kept: Rust's message stands above its backtrace.
_KEPT = 20_000


def last_words(log: str) -> str:
    """Return why a child ended, in one line.

    Rust says it above its backtrace, R in its error, Python in the last line.

    Examples
    --------
    >>> last_words("memory allocation of 8 bytes failed\\nstack backtrace:\\n   0: rust_oom\\nnote: Some details are omitted")
    'memory allocation of 8 bytes failed'
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if line == "stack backtrace:" and i:
            return lines[i - 1]
        if line.startswith("Error"):
            return " ".join(
                lines[i : i + 2]
            )  # R says where in the first line, and may say what in the next
    return lines[-1] if lines else "ended without a word"


class TimedOut(Exception):
    """The child did not answer within its limit."""


def thread_settings(threads: int) -> dict[str, str]:
    """Return the environment that gives every library the same number of threads."""
    pools = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB", "NUMEXPR", "RAYON")
    settings = {f"{pool}_NUM_THREADS": str(threads) for pool in pools}
    # A thread pool that spins while it waits would slow the child whose turn it is.
    return settings | {
        "POLARS_MAX_THREADS": str(threads),
        "VECLIB_MAXIMUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
    }


@dataclass
class Child:
    """One library with one table, waiting for its turn."""

    library: Library
    tasks: list[str]
    toy: Path
    table: Path
    threads: int
    blas: list[str] = field(default_factory=list, init=False)
    loaded_bytes: int | None = field(default=None, init=False)
    log: str = field(default="", init=False, repr=False)
    _process: subprocess.Popen = field(init=False, repr=False)
    _unread: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        program = self.library.interpreter
        assert program is not None, "a library that is not installed is not started"
        worker = ["benchmarks/worker.R"] if self.library.is_r else ["-m", "benchmarks.worker"]
        self._process = subprocess.Popen(
            [
                program,
                *worker,
                self.library.adapter,
                ",".join(self.tasks),
                str(self.toy.resolve()),
                str(self.table.resolve()),
            ],
            cwd=ROOT,
            env=os.environ | thread_settings(self.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def fit(self, task: str, limit: float) -> dict:
        """Give the child a task; its answer. TimedOut after `limit` seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(task.encode() + b"\n")
        self._process.stdin.flush()
        return self.answer(limit)

    def answer(self, limit: float) -> dict:
        """Return the next message.

        Other output of the child is kept in `log`; a child that ends before it answers has failed.
        """
        deadline = time.monotonic() + limit
        while True:
            line = self._line(deadline)
            if line is None:
                return {"failed": last_words(self.log)}
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
            self.log = self.log[-_KEPT:] + line

    def _line(self, deadline: float) -> str | None:
        """Return a line of the child's output, None at its end."""
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimedOut
                more = os.read(stdout.fileno(), 1 << 16)
                if not more:
                    return None
                self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace") + "\n"

    def memory(self, what: str) -> int | None:
        """Return the bytes the kernel counts for the child, None where /proc has none.

        `VmRSS` is the memory now, `VmHWM` at its highest.
        """
        status = Path(f"/proc/{self._process.pid}/status")
        if not sys.platform.startswith("linux") or not status.exists():
            return None
        for line in status.read_text().splitlines():
            if line.startswith(what + ":"):
                return 1024 * int(line.split()[1])
        return None

    def settle(self, blas: list[str]) -> None:
        """Note what the ready child uses, and count its highest memory from now on.

        Nothing is read from disk.
        """
        self.blas, self.loaded_bytes = blas, self.memory("VmRSS")
        if self.loaded_bytes is not None:
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
