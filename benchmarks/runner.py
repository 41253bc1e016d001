"""The run: every library in its own process, in turns, for each problem and task."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.children import SECONDS_TO_START, Child, TimedOut
from benchmarks.libraries import Library
from benchmarks.model import Model, Random
from benchmarks.problems import SEED, Problem, stored
from benchmarks.tables import read_columns, used_bytes, write_table

__all__ = ["Overlap", "Settings", "one_run_at_a_time", "run"]

#: A short fit is repeated until it has taken this long in all, so that the median of milliseconds
#: is one of many.
SECONDS_OF_SHORT_FITS = 0.5
MOST_REPEATS = 20


class Overlap(Exception):
    """Another run is going on; two would disturb each other."""


@dataclass(frozen=True)
class Settings:
    """How a run goes.

    `limit`: seconds a fit may take, where the problem's own limit is not shorter. `budget`: a
    library is not repeated when that would take it past this many seconds in all.
    """

    repeat: int = 5
    limit: float = 60.0
    budget: float = 10.0
    threads: int = 1
    seed: int = SEED
    scale: float = 1.0


#: One lock for all checkouts on a machine: two runs at once would measure each other.
LOCK = Path(tempfile.gettempdir()) / "mixedfast-benchmarks.lock"


@contextmanager
def one_run_at_a_time(path: Path | None = None) -> Iterator[None]:
    with open(path or LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Overlap("another benchmark run is going on; wait for it") from None
        yield


def run(
    problems: list[Problem],
    libraries: list[Library],
    settings: Settings,
    data: Path,
    say: Callable[[str], None],
) -> Iterator[list[dict]]:
    """For each problem, when it is done, an entry for every task and library that was asked for."""
    for problem in problems:
        entries = []
        here = replace(settings, limit=min(settings.limit, problem.limit))
        table = stored(problem, data, settings.seed, settings.scale)
        facts = describe_table(problem, table)
        asked = [
            library
            for library in libraries
            if set(library.tasks) & set(problem.tasks)
            and (problem.libraries is None or library.name in problem.libraries)
        ]
        children, out = _start(asked, problem, table, toy(data), here)
        try:
            for task in problem.tasks:
                say(f"{problem.key} {task}")
                field = [library for library in asked if task in library.tasks]
                for name, entry in _race(task, field, children, out, here, say).items():
                    entries.append(facts | {"task": task, "library": name} | entry)
        finally:
            for child in children.values():
                child.end()
        yield entries


def describe_table(problem: Problem, table: Path) -> dict:
    columns = read_columns(table)
    return {
        "problem": problem.key,
        "title": problem.title,
        "formula": problem.model.formula,
        "reml": problem.model.reml,
        "note": problem.note,
        "rows": len(columns[problem.model.response]),
        "column_bytes": used_bytes(columns),
        "levels": [
            len(np.unique(np.asarray(columns[term.group]))) for term in problem.model.random
        ],
    }


def toy(data: Path) -> Path:
    """Return a small table for the untimed first fit."""
    place = data / "toy"
    if not (place / "table.json").exists():
        rng = np.random.default_rng(1)
        group = np.repeat(np.arange(20, dtype=np.int32), 10)
        x = rng.standard_normal(200)
        y = x + rng.standard_normal(20)[group] + rng.standard_normal(200)
        write_table(place, Model("y", ("x",), (Random("g"),)), {"y": y, "x": x, "g": group})
    return place


def _start(
    libraries: list[Library], problem: Problem, table: Path, toy: Path, settings: Settings
) -> tuple[dict[str, Child], dict[str, dict]]:
    """Start a child for each library that can take part.

    For the others return `status` and `reason`, by name.

    They start side by side (nothing is timed yet) and then wait.
    """
    out = {
        library.name: {"status": "skipped", "reason": "not installed"}
        for library in libraries
        if not library.interpreter
    }
    children = {
        library.name: Child(
            library, [t for t in problem.tasks if t in library.tasks], toy, table, settings.threads
        )
        for library in libraries
        if library.interpreter
    }
    for name, child in list(children.items()):
        try:
            first = child.answer(SECONDS_TO_START)
        except TimedOut:
            first = {"failed": f"did not start in {SECONDS_TO_START:g} s"}
        if "ready" in first:
            child.settle(first["blas"])
        else:
            children.pop(name).end()
            ((status, reason),) = first.items()
            out[name] = {"status": status, "reason": reason}
    return children, out


def _race(
    task: str,
    libraries: list[Library],
    children: dict[str, Child],
    out: dict[str, dict],
    settings: Settings,
    say: Callable[[str], None],
) -> dict[str, dict]:
    """Return each library's entry: `times` and its last answers, or why there are none.

    Libraries that drop out are put into `out`.
    """
    entries: dict[str, dict] = {}
    for library in libraries:
        entries[library.name] = {
            "status": "ran",
            "times": [],
            "cpu_times": [],
            "limit": settings.limit,
        }
        if library.name in children:
            entries[library.name] |= {
                "blas": children[library.name].blas,
                "loaded_bytes": children[library.name].loaded_bytes,
            }
    while turns := [
        library for library in libraries if wants_another(entries[library.name], settings)
    ]:
        for library in turns:
            entry = entries[library.name]
            if out.get(library.includes, {}).get("status") == "timed out":
                out[library.name] = {
                    "status": "timed out",
                    "reason": f"{library.includes}, a part of it, did",
                }
            if library.name in out:
                entry |= out[library.name]
            else:
                _turn(task, entry, children[library.name], settings)
                if entry["status"] != "ran":
                    out[library.name] = {
                        "status": entry["status"],
                        "reason": entry.get("reason", ""),
                    }
                    children.pop(library.name).end()
            if len(entry["times"]) <= 1:
                say(f"  {library.name}: {outcome(entry)}")
    return entries


def wants_another(entry: dict, settings: Settings) -> bool:
    """Whether a library runs once more.

    It runs up to `repeat` times within the budget, and more often when it is quick.
    """
    times = entry["times"]
    if entry["status"] != "ran" or not times:
        return entry["status"] == "ran"
    if len(times) < settings.repeat:
        return sum(times) + times[-1] <= settings.budget
    return len(times) < MOST_REPEATS * settings.repeat and sum(times) < SECONDS_OF_SHORT_FITS


def _turn(task: str, entry: dict, child: Child, settings: Settings) -> None:
    """One fit; the entry is brought up to date."""
    try:
        answer = child.fit(task, settings.limit)
    except TimedOut:
        answer = {}
        entry["status"] = "timed out"
    peak = child.memory("VmHWM")
    if peak is not None:
        entry["peak_bytes"] = peak
    if "seconds" in answer:
        entry["times"].append(answer.pop("seconds"))
        entry["cpu_times"].append(answer.pop("cpu"))
        entry["answers"] = answer
    elif answer:
        ((entry["status"], entry["reason"]),) = answer.items()


def outcome(entry: dict) -> str:
    if entry["status"] == "ran":
        return f"{entry['times'][-1]:.4g} s"
    if entry["status"] == "timed out":
        return f"> {entry['limit']:g} s"
    return f"{entry['status']} ({entry.get('reason', '')})"
