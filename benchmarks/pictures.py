"""The pictures: seconds of every library on every problem, and our time and memory against the number of rows."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.libraries import LIBRARIES
from benchmarks.report import OURS, right

__all__ = ["draw_scaling", "draw_times"]

MARKS = dict(zip(LIBRARIES, "oDs^vP*X<>d", strict=True))
COLOURS = dict(zip(LIBRARIES, ["C3", "C0", "C1", "C2", "C4", "C5", "C6", "C7", "C8", "C9", "black"], strict=True))


def draw_times(table: list[dict], path: Path) -> None:
    """A line of dots for each problem and task; an arrow where the time limit was passed, hollow where the answer is off."""
    lines = [list(group) for _, group in groupby(table, key=lambda r: (r["problem"], r["task"]))]
    figure = Figure(figsize=(9, 1.2 + 0.42 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for y, together in enumerate(lines):
        axes.axhline(y, color="0.9", zorder=0)
        for r in together:
            if r["seconds"] is None:
                continue
            late, name = r["status"] == "timed out", r["library"]
            axes.plot(
                r["seconds"],
                y,
                marker="$\\rightarrow$" if late else MARKS[name],
                markersize=11 if late else 9 if name == OURS else 7,
                markerfacecolor=COLOURS[name] if right(r) or late else "white",
                markeredgecolor=COLOURS[name],
                linestyle="none",
                zorder=3 if name == OURS else 2,
            )
    for name in {r["library"]: None for r in table if r["seconds"] is not None}:
        axes.plot([], [], marker=MARKS[name], color=COLOURS[name], linestyle="none", label=name)
    axes.set_yticks(range(len(lines)), [f"{t[0]['problem']} {_short(t[0]['task'])}" for t in lines])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("seconds, from the table in memory to the answer (hollow: the answer is off; arrow: longer than that)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _short(task: str) -> str:
    return {"standard errors": "", "satterthwaite": "(Satterthwaite)", "kenward-roger": "(Kenward-Roger)"}[task]


def draw_scaling(points: list[dict], path: Path) -> None:
    """Left: seconds in all and after the rows are read. Right: peak memory against the columns' bytes."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right_ = figure.subplots(1, 2)
    n = [p["rows"] for p in points]
    left.loglog(n, [p["assembly"] + p["after"] for p in points], "o-", color="C3", label="in all")
    left.loglog(n, [p["assembly"] for p in points], "s--", color="C0", label="reading the rows")
    left.loglog(n, [p["after"] for p in points], "^:", color="C2", label="after that")
    left.loglog(n, [points[-1]["seconds_a_row"] * rows for rows in n], color="0.8", label="linear")
    left.set(xlabel="rows", ylabel="seconds")
    right_.loglog(n, [p["peak_bytes"] / 2**20 for p in points], "o-", color="C3", label="peak of the process")
    right_.loglog(n, [p["column_bytes"] / 2**20 for p in points], "s--", color="C0", label="columns used")
    right_.set(xlabel="rows", ylabel="MiB")
    for axes in (left, right_):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
