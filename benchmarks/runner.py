"""The run: for each problem and task every library in its own process, one after the other, round after round."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.children import SECONDS_TO_START, Child, TimedOut
from benchmarks.libraries import LIBRARIES, Library
from benchmarks.model import Model, Random
from benchmarks.problems import SEED, Problem, stored
from benchmarks.tables import read_columns, used_bytes, write_table

__all__ = ["Overlap", "Settings", "one_run_at_a_time", "run"]

#: A short fit is repeated until it has taken this long in all, so that the median of milliseconds is one of many.
SECONDS_OF_SHORT_FITS = 0.5
MOST_REPEATS = 20


class Overlap(Exception):
    """Another run is going on; two would disturb each other."""


@dataclass(frozen=True)
class Settings:
    """`limit`: seconds a fit may take. `budget`: no further repeat of a library that would pass this many in all."""

    repeat: int = 5
    limit: float = 60.0
    budget: float = 20.0
    threads: int = 1
    seed: int = SEED
    scale: float = 1.0


@contextmanager
def one_run_at_a_time() -> Iterator[None]:
    with open(Path(tempfile.gettempdir()) / "mixedfast-benchmarks.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Overlap("another benchmark run is going on; wait for it") from None
        yield


def run(
    problems: list[Problem], libraries: list[Library], settings: Settings, data: Path, say: Callable[[str], None]
) -> list[dict]:
    """An entry for each problem, task and library that was asked for."""
    entries = []
    for problem in problems:
        table = stored(problem, data, settings.seed, settings.scale)
        columns = read_columns(table)
        facts = {
            "problem": problem.key,
            "title": problem.title,
            "formula": problem.model.formula,
            "reml": problem.model.reml,
            "note": problem.note,
            "rows": len(columns[problem.model.response]),
            "column_bytes": used_bytes(columns),
            "levels": [len(np.unique(np.asarray(columns[term.group]))) for term in problem.model.random],
        }
        del columns
        slow: set[str] = set()
        for task in problem.tasks:
            asked = [
                library
                for library in libraries
                if task in library.tasks and (problem.libraries is None or library.name in problem.libraries)
            ]
            say(f"{problem.key} {task}")
            entries += [
                facts | {"task": task, "library": name} | entry
                for name, entry in _compare(task, table, toy(data), asked, settings, slow, say).items()
            ]
    return entries


def toy(data: Path) -> Path:
    """A small table for the untimed first fit."""
    place = data / "toy"
    if not (place / "table.json").exists():
        rng = np.random.default_rng(1)
        group = np.repeat(np.arange(20, dtype=np.int32), 10)
        x = rng.standard_normal(200)
        y = x + rng.standard_normal(20)[group] + rng.standard_normal(200)
        write_table(place, Model("y", ("x",), (Random("g"),)), {"y": y, "x": x, "g": group})
    return place


def _compare(
    task: str,
    table: Path,
    toy: Path,
    libraries: list[Library],
    settings: Settings,
    slow: set[str],
    say: Callable[[str], None],
) -> dict[str, dict]:
    """Each library's entry: `times` and its last answers, or why there is none. Who times out is added to `slow`."""
    entries: dict[str, dict] = {library.name: {"times": [], "limit": settings.limit} for library in libraries}
    children: dict[str, Child] = {}
    try:
        for library in libraries:
            entries[library.name] |= _cannot_run(library, slow) or _start(library, task, table, toy, settings, children)
            if entries[library.name]["status"] != "ran":
                say(f"  {library.name}: {outcome(entries[library.name])}")
        while turns := [name for name in children if wants_another(entries[name], settings)]:
            for name in turns:
                entries[name] |= _cannot_run(LIBRARIES[name], slow)
                if entries[name]["status"] == "ran":
                    _turn(entries[name], children[name], settings)
                if entries[name]["status"] == "timed out":
                    slow.add(name)
                say(f"  {name}: {outcome(entries[name])}")
    finally:
        for child in children.values():
            child.end()
    return entries


def _cannot_run(library: Library, slow: set[str]) -> dict:
    """Why a library need not be started: it is not installed, or a part of it is known to be too slow."""
    if library.interpreter is None:
        return {"status": "skipped", "reason": "not installed"}
    if library.includes in slow:
        slow.add(library.name)
        return {"status": "timed out", "reason": f"{library.includes}, a part of it, did"}
    return {}


def _start(library: Library, task: str, table: Path, toy: Path, settings: Settings, children: dict[str, Child]) -> dict:
    child = Child(library, task, toy, table, settings.threads)
    try:
        first = child.answer(SECONDS_TO_START + settings.limit)
    except TimedOut:
        first = {"failed": "did not start in time"}
    if "ready" in first:
        children[library.name] = child
        child.forget_peak()
        return {"status": "ran", "blas": first["blas"], "loaded_bytes": child.memory("VmRSS")}
    child.end()
    status = "unsupported" if "unsupported" in first else "failed"
    return {"status": status, "reason": first.get(status, "")}


def wants_another(entry: dict, settings: Settings) -> bool:
    """Whether a library runs once more: up to `repeat`, within the budget, and more often when it is quick."""
    times = entry["times"]
    if entry["status"] != "ran" or not times:
        return entry["status"] == "ran"
    if len(times) < settings.repeat:
        return sum(times) + times[-1] <= settings.budget
    return len(times) < MOST_REPEATS * settings.repeat and sum(times) < SECONDS_OF_SHORT_FITS


def _turn(entry: dict, child: Child, settings: Settings) -> None:
    """One fit; the entry is brought up to date."""
    try:
        answer = child.fit(settings.limit)
    except TimedOut:
        answer = {}
        entry["status"] = "timed out"
    peak = child.memory("VmHWM")
    if peak is not None:
        entry["peak_bytes"] = peak
    if "seconds" in answer:
        entry["times"].append(answer.pop("seconds"))
        entry["answers"] = answer
    elif answer:
        (entry["status"], entry["reason"]), *_ = answer.items()
    if entry["status"] != "ran":
        child.end()


def outcome(entry: dict) -> str:
    if entry["status"] == "ran":
        return f"{entry['times'][-1]:.4g} s"
    if entry["status"] == "timed out":
        return f"> {entry['limit']:g} s"
    return f"{entry['status']} ({entry.get('reason', '')})"
