"""Pictures: seconds of every library on every problem, and time and memory against rows."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.libraries import LIBRARIES
from benchmarks.report import OURS, duration, right

__all__ = ["draw_scaling", "draw_times"]

MARKS = dict(zip(LIBRARIES, "oDs^vP*X<>d", strict=True))
COLOURS = dict(
    zip(
        LIBRARIES,
        ["C3", "C0", "C1", "C2", "C4", "C5", "C6", "C7", "C8", "C9", "black"],
        strict=True,
    )
)


def draw_times(table: list[dict], path: Path) -> None:
    """Draw each problem under its title, with a line of dots for each task.

    An arrow means that the time limit was passed, a hollow dot that the answer is off.
    """
    problems = [
        [list(line) for _, line in groupby(own, key=_task)]
        for _, own in groupby(table, key=lambda r: r["problem"])
    ]
    figure = Figure(
        figsize=(9, 1.2 + 0.3 * sum(1 + len(lines) for lines in problems)), layout="constrained"
    )
    axes = figure.subplots()
    top, ticks = 0, {}
    for lines in problems:
        key, title = lines[0][0]["problem"], lines[0][0]["title"]
        axes.text(
            0.0,
            top + 0.15,
            f"$\\bf{{{key}}}$  {title}",
            transform=axes.get_yaxis_transform(),
            va="center",
        )
        for y, together in enumerate(lines, top + 1):
            ticks[y] = WORDS[_task(together[0])]
            axes.axhline(y, color="0.9", zorder=0)
            for r in together:
                _dot(axes, y, r)
        top += 1 + len(lines)
    seen = {r["library"] for r in table if r["seconds"] is not None}
    for name in (name for name in LIBRARIES if name in seen):
        axes.plot([], [], marker=MARKS[name], color=COLOURS[name], linestyle="none", label=name)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(top - 0.3, -0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda seconds, _: duration(seconds))
    signs = "hollow: the answer is not that of the others; arrow: took longer than that"
    axes.set_xlabel(f"from the table in memory to the answer\n{signs}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, metadata={"Date": None})


#: What a task gives, in the words of the picture.
WORDS = {
    "standard errors": "standard errors",
    "satterthwaite": "and Satterthwaite df",
    "kenward-roger": "and Kenward-Roger df",
}


def _task(row: dict) -> str:
    return row["task"]


def _dot(axes: Axes, y: int, r: dict) -> None:
    """Draw the times of one library on the line at y."""
    if r["seconds"] is None:
        return
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


def draw_scaling(points: list[dict], path: Path) -> None:
    """Draw seconds at the left, and peak memory at the right.

    Seconds in all, and seconds after the rows are read.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right_ = figure.subplots(1, 2)
    n = [p["rows"] for p in points]
    left.loglog(n, [p["assembly"] + p["after"] for p in points], "o-", color="C3", label="in all")
    left.loglog(n, [p["assembly"] for p in points], "s--", color="C0", label="reading the rows")
    left.loglog(n, [p["after"] for p in points], "^:", color="C2", label="after that")
    left.loglog(n, [points[-1]["seconds_a_row"] * rows for rows in n], color="0.8", label="linear")
    left.set(xlabel="rows", ylabel="time")
    left.yaxis.set_major_formatter(lambda seconds, _: duration(seconds))
    right_.loglog(
        n, [p["peak_bytes"] / 2**20 for p in points], "o-", color="C3", label="peak of the process"
    )
    right_.loglog(
        n, [p["column_bytes"] / 2**20 for p in points], "s--", color="C0", label="columns used"
    )
    right_.set(xlabel="rows", ylabel="MiB")
    right_.yaxis.set_major_formatter("{x:g}")
    for axes in (left, right_):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
