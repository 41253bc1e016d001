"""Draw the pictures of the pages: mixedfast's own, on the data it ships.

`make docs` calls `make_pictures`, which draws into docs/made. Those that README.md shows are kept in docs/pictures, and
`make pictures` draws them anew. Each carries a stamp of the code that drew it: a test says when that has changed since.
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
"""Dots an inch: sharp enough on a page, and small."""


def stamp() -> str:
    """Of the text of what draws: this file, and mixedfast's pictures."""
    sources = [Path(__file__), *sorted(Path(plots.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def make_kept(folder: Path) -> None:
    """Write the pictures of README.md into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    keep(m.plot.slopes("ses").figure, folder / "slopes.png")
    keep(m.plot.caterpillar()[0].figure, folder / "caterpillar.png")


def make_pictures(folder: Path) -> None:
    """Write the other pictures as PNG files into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    keep(road(), folder / "road.png")
    students = mf.load_dataset("hsb")
    m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", students)

    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.4))
    cases_and_line(axes[0], students)
    positive_residuals(axes[1], students)
    keep(figure, folder / "one_line.png")

    keep(school_means(students), folder / "school_means.png")
    keep(m.plot.shrinkage().figure, folder / "shrinkage.png")
    keep(m.plot.residuals().figure, folder / "residuals.png")
    sleep = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    keep(plot_profile(sleep.profile(), 0.95, None)[0].figure, folder / "profile.png")


def cases_and_line(ax, students) -> None:
    """Every student, and the one line of ordinary regression."""
    line = mf.lm("math ~ ses", students).params
    ends = np.array([students["ses"].min(), students["ses"].max()])
    ax.plot(students["ses"], students["math"], ".", markersize=2, alpha=0.25, color="0.3")
    ax.plot(ends, line["Intercept"] + line["ses"] * ends, color="#d55e00", linewidth=2)
    ax.set(xlabel="ses", ylabel="math", title="One line for 7,185 students")


def positive_residuals(ax, students) -> None:
    """The share of positive residuals in each school: independence would put it near one half."""
    above = students.assign(above=mf.lm("math ~ ses", students).resid() > 0)
    share = above.groupby("school", observed=True)["above"].mean()
    ax.hist(share, bins=np.linspace(0, 1, 21), color="#0072b2", edgecolor="white")
    ax.axvline(0.5, color="0.2", linewidth=1, linestyle="--")
    ax.set(
        xlabel="Share of a school's residuals above the line",
        ylabel="Schools",
        title="Residuals keep together by school",
    )


def school_means(students):
    """The 160 means, and their line."""
    means = students.groupby("school", observed=True)[["ses", "math"]].mean()
    line = mf.lm("math ~ ses", means.reset_index()).params
    ends = np.array([means["ses"].min(), means["ses"].max()])
    figure, ax = plt.subplots(figsize=(5.6, 4.4))
    ax.plot(means["ses"], means["math"], "o", markersize=4, alpha=0.7, color="#0072b2")
    ax.plot(ends, line["Intercept"] + line["ses"] * ends, color="#d55e00", linewidth=2)
    ax.set(
        xlabel="Mean ses of a school", ylabel="Mean math of a school", title="One point a school"
    )
    return figure


#: The road of the data: what is known on each stretch, its colour, its rooms and what leaves them.
ROAD = (
    (
        "rows",
        "#dcebf5",
        (
            "data",
            "columns",
            "formula",
            "terms",
            "design",
            "y, X, Z, groups",
            "crossprod",
            "sums that add",
        ),
    ),
    (
        "sums",
        "#f3e6d8",
        ("covariance", "Λ(θ)", "engines", "factors of M(θ)", "estimation", "the fit"),
    ),
    (
        "answers",
        "#e4efe4",
        ("inference", "tests, intervals", "report", "tables, pictures", "results", "LMMResult"),
    ),
)


def road():
    """Boxes for rooms, arrows for what goes from one to the next."""
    figure, ax = plt.subplots(figsize=(10.4, 4.2), layout="constrained")
    arrow = {"arrowstyle": "-|>", "color": "0.3"}
    for row, (known, tint, said) in enumerate(ROAD):
        y = -1.4 * row
        ax.text(-1.1, y, known, ha="right", va="center", fontsize=14, color="0.35")
        box = {"boxstyle": "round,pad=0.5", "facecolor": tint, "edgecolor": "0.4"}
        for column, (room, gives) in enumerate(zip(said[::2], said[1::2], strict=True)):
            x = 2.6 * column
            ax.text(x, y, room, ha="center", va="center", fontsize=12, family="monospace", bbox=box)
            ax.text(x, y - 0.42, gives, ha="center", va="center", fontsize=10, color="0.25")
            if column:
                ax.annotate("", (x - 0.85, y), (x - 1.75, y), arrowprops=arrow)
        if row:  # from the end of one stretch to the begin of the next
            between = y + 0.72
            end = 2.6 * (len(ROAD[row - 1][2]) // 2 - 1) + 1.0
            turn = [y + 1.4, y + 1.4, between, between, between]
            ax.plot([end, end + 0.3, end + 0.3, 0.0, 0.0], turn, color="0.3", linewidth=1)
            ax.annotate("", (0, y + 0.26), (0, between), arrowprops={**arrow, "shrinkA": 0})
    ax.set(xlim=(-2.4, 9.3), ylim=(-3.5, 0.5))
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
