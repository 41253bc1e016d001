"""Draw the pictures of the pages: mixedfast's own, on the data it ships.

`make docs` calls `make_pictures`; `python docs/make_pictures.py FOLDER` draws them alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import mixedfast as mf
from mixedfast.report.plots import plot_profile

DOTS = 80
"""Dots an inch: sharp enough on a page, and small."""


def make_pictures(folder: Path) -> None:
    """Write all pictures as PNG files into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    students = mf.load_dataset("hsb")
    m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", students)

    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.4))
    cases_and_line(axes[0], students)
    positive_residuals(axes[1], students)
    keep(figure, folder / "one_line.png")

    keep(school_means(students), folder / "school_means.png")
    keep(m.plot.slopes("ses").figure, folder / "slopes.png")
    keep(m.plot.shrinkage().figure, folder / "shrinkage.png")
    keep(m.plot.caterpillar()[0].figure, folder / "caterpillar.png")
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
    ax.set(xlabel="Share of a school's residuals above the line", ylabel="Schools", title="Residuals keep together by school")


def school_means(students):
    """The 160 means, and their line."""
    means = students.groupby("school", observed=True)[["ses", "math"]].mean()
    line = mf.lm("math ~ ses", means.reset_index()).params
    ends = np.array([means["ses"].min(), means["ses"].max()])
    figure, ax = plt.subplots(figsize=(5.6, 4.4))
    ax.plot(means["ses"], means["math"], "o", markersize=4, alpha=0.7, color="#0072b2")
    ax.plot(ends, line["Intercept"] + line["ses"] * ends, color="#d55e00", linewidth=2)
    ax.set(xlabel="Mean ses of a school", ylabel="Mean math of a school", title="One point a school")
    return figure


def keep(figure, path: Path) -> None:
    """Write a figure to a file and close it."""
    figure.savefig(path, dpi=DOTS, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1]))
