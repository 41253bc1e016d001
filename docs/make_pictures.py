"""Draw the plots of README.md and of the pages.

`make docs` calls `make_pictures`, which draws into docs/made. The plots of README.md are in
docs/pictures; `make pictures` draws them again. Each has a stamp of the code that drew it, and a
test fails when that code has changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import mixedfast as mf
from mixedfast.report import plots
from mixedfast.report.plots import plot_profile

DOTS = 80
"""Dots per inch: sharp enough on a page, and small files."""


def stamp() -> str:
    """Return a digest of the code that draws: this file and the plots of mixedfast."""
    sources = [Path(__file__), *sorted(Path(plots.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def make_kept(folder: Path) -> None:
    """Write the plots of README.md to a folder, which is created if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    keep(m.plot.slopes("ses").figure, folder / "slopes.png")
    keep(m.plot.caterpillar()[0].figure, folder / "caterpillar.png")


def make_pictures(folder: Path) -> None:
    """Write the other plots as PNG files to a folder, which is created if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    keep(rooms(), folder / "rooms.png")
    students = mf.load_dataset("hsb")
    m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", students)

    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.4))
    cases_and_line(axes[0], students)
    positive_residuals(axes[1], students)
    keep(figure, folder / "one_line.png")

    keep(school_means(students), folder / "school_means.png")
    keep(m.plot.shrinkage().figure, folder / "shrinkage.png")
    keep(m.plot.residuals().figure, folder / "residuals.png")
    cake = mf.load_dataset("cake")
    baked = mf.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    keep(baked.emmeans("temperature").plot()[0].figure, folder / "means.png")
    sleep = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    keep(plot_profile(sleep.profile(), 0.95, None)[0].figure, folder / "profile.png")


def cases_and_line(ax, students) -> None:
    """Draw all students and the line of ordinary regression."""
    line = mf.lm("math ~ ses", students).params
    ends = np.array([students["ses"].min(), students["ses"].max()])
    ax.plot(students["ses"], students["math"], ".", markersize=2, alpha=0.25, color="0.3")
    ax.plot(ends, line["Intercept"] + line["ses"] * ends, color="#d55e00", linewidth=2)
    ax.set(xlabel="ses", ylabel="math", title="One line for 7,185 students")


def positive_residuals(ax, students) -> None:
    """Draw the share of positive residuals per school, near one half under independence."""
    above = students.assign(above=mf.lm("math ~ ses", students).resid() > 0)
    share = above.groupby("school", observed=True)["above"].mean()
    ax.hist(share, bins=np.linspace(0, 1, 21), color="#0072b2", edgecolor="white")
    ax.axvline(0.5, color="0.2", linewidth=1, linestyle="--")
    ax.set(
        xlabel="Share of a school's residuals above the line",
        ylabel="Schools",
        title="Residuals of a school are alike",
    )


def school_means(students):
    """Draw the 160 school means and their regression line."""
    means = students.groupby("school", observed=True)[["ses", "math"]].mean()
    line = mf.lm("math ~ ses", means.reset_index()).params
    ends = np.array([means["ses"].min(), means["ses"].max()])
    figure, ax = plt.subplots(figsize=(5.6, 4.4))
    ax.plot(means["ses"], means["math"], "o", markersize=4, alpha=0.7, color="#0072b2")
    ax.plot(ends, line["Intercept"] + line["ses"] * ends, color="#d55e00", linewidth=2)
    ax.set(
        xlabel="Mean ses of a school", ylabel="Mean math of a school", title="One point per school"
    )
    return figure


#: Each room: column and row in the picture, what it returns, and the colour of what it works on.
ROWS, SUMS, OUTPUT = "#dcebf5", "#f3e6d8", "#e4efe4"
ROOMS = {
    "data": (0, 0, "columns", ROWS),
    "formula": (0, 1, "terms", ROWS),
    "design": (1, 0, "y, X, Z, groups", ROWS),
    "crossprod": (2, 0, "sums", ROWS),
    "covariance": (2, 1, "Λ(θ)", SUMS),
    "engines": (3, 0, "factor of M(θ)", SUMS),
    "estimation": (4, 0, "the fit", SUMS),
    "inference": (5, 0, "df, tests, intervals", SUMS),
    "report": (5, 1, "pages, plots", OUTPUT),
    "results": (6, 0, "LMMResult", OUTPUT),
}
FLOW = (
    ("data", "design"),
    ("formula", "design"),
    ("design", "crossprod"),
    ("crossprod", "engines"),
    ("covariance", "engines"),
    ("engines", "estimation"),
    ("estimation", "inference"),
    ("inference", "results"),
    ("report", "results"),
)


def rooms():
    """Draw a box for each room of the package, and arrows in the direction of the data."""
    figure, ax = plt.subplots(figsize=(10.4, 2.9), layout="constrained")
    for tint, what, x in (
        (ROWS, "works on rows", 0.0),
        (SUMS, "works on sums", 1.0),
        (OUTPUT, "shows results", 2.0),
    ):
        ax.text(
            x,
            0.85,
            what,
            ha="center",
            fontsize=10,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": tint, "edgecolor": "none"},
        )
    place = {room: (x, -1.25 * y) for room, (x, y, _, _) in ROOMS.items()}
    for room, (_, _, returned, tint) in ROOMS.items():
        x, y = place[room]
        box = {"boxstyle": "round,pad=0.45", "facecolor": tint, "edgecolor": "0.4"}
        ax.text(x, y, room, ha="center", va="center", fontsize=10, family="monospace", bbox=box)
        ax.text(x, y - 0.42, returned, ha="center", va="center", fontsize=8.5, color="0.25")
    for start, end in FLOW:
        (x, y), (to, height) = place[start], place[end]
        straight = y == height
        ax.annotate(
            "",
            (to - 0.42, height) if straight else (to - 0.3, height - 0.62),
            (x + 0.42, y),
            arrowprops={"arrowstyle": "-|>", "color": "0.3"},
        )
    ax.set(xlim=(-0.55, 6.55), ylim=(-1.85, 1.1))
    ax.axis("off")
    return figure


def keep(figure, path: Path) -> None:
    """Write a figure to a file and close it."""
    figure.savefig(
        path, dpi=DOTS, bbox_inches="tight", metadata={"Software": None, "Source": stamp()}
    )
    plt.close(figure)


if __name__ == "__main__":
    make_kept(Path(__file__).parent / "pictures")
