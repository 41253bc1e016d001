"""The drawing half of every picture: tables from `mixedfast.report.plots.data` on axes of matplotlib.

Each function draws on axes it is given and returns nothing. Blue and orange are those of Okabe and Ito (2008, Color
Universal Design); they differ in lightness too, and no meaning rests on colour alone.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.report.plots import data

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "LABELLED",
    "bootstrap_density",
    "caterpillar",
    "profile_zeta",
    "qq",
    "residuals",
    "residuals_by_group",
    "shrinkage_plane",
    "shrinkage_single",
    "slopes",
]

BLUE, ORANGE, GREY, PALE = "#0072B2", "#D55E00", "#6E6E6E", "#C4C4C4"

#: Up to so many groups have their names on the axis.
LABELLED = 45
#: Up to so many points are drawn one by one; more are counted in hexagons.
_POINTS = 5000
#: Rows that a mean of residuals is taken of, at least.
_ROWS_A_BIN = 20
#: Points of space between a picture and its title when the legend is there.
_ABOVE = 26
#: Up to so many groups are drawn one by one; more become a band.
_SINGLY = 800
_BAND = 2000


def _finish(ax: Axes) -> None:
    """A frame open to the right and above, and the user's names as they are: a dollar starts no formula."""
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.get_legend()
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend is not None else ())):
        text.set_parse_math(False)


def _cloud(ax: Axes, x: np.ndarray, y: np.ndarray, what: str = "rows") -> None:
    """Points, or for very many a map of how many there are, with its key."""
    if len(x) <= _POINTS:
        size = float(np.clip(4000 / max(len(x), 1), 3, 22))
        ax.scatter(x, y, s=size, color=BLUE, alpha=0.45 if len(x) > 300 else 0.7, linewidths=0, rasterized=len(x) > 1000)
        return
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    shades = ListedColormap(colormaps["Blues"](np.linspace(0.25, 1.0, 256)))  # the palest shade still shows on white
    cells = ax.hexbin(x, y, gridsize=45, bins="log", mincnt=1, cmap=shades, linewidths=0, rasterized=True)
    ax.figure.colorbar(cells, ax=ax, label=f"Number of {what}", pad=0.01)


# --- residuals ---------------------------------------------------------------------------------------------


def residuals(ax: Axes, frame: pd.DataFrame, response: str, unit: str) -> None:
    """Residuals over fitted values, with their mean in bins of equally many rows."""
    x, y = frame["fitted"].to_numpy(), frame["residual"].to_numpy()
    _cloud(ax, x, y)
    ax.axhline(0, color=GREY, linewidth=1)
    bins = min(15, len(x) // _ROWS_A_BIN)
    if bins > 1:
        mean = data.trend(x, y, bins)
        ax.plot(mean["x"], mean["y"], color=ORANGE, linewidth=2, marker="o", markersize=3.5,
                label=f"means of {bins} bins of equally many rows")  # fmt: skip
        _legend_above(ax, 1)
    ax.set(xlabel=f"Fitted {response}", ylabel=unit)
    ax.set_title("Residuals and fitted values", pad=_ABOVE)
    _finish(ax)


def residuals_by_group(ax: Axes, frame: pd.DataFrame, group: str, unit: str) -> None:
    """Median, middle half and middle nine tenths of each group's residuals."""
    count = len(frame)
    if count <= _SINGLY:
        place = np.arange(count)
        thick = float(np.clip(300 / count, 0.8, 5.0))
        ax.hlines(place, frame["q05"], frame["q95"], color=PALE, linewidth=max(thick / 2.5, 0.7), label="middle 90 %")
        ax.hlines(place, frame["q25"], frame["q75"], color=BLUE, linewidth=thick, label="middle half")
        ax.plot(frame["median"], place, linestyle="none", marker="D", markersize=float(np.clip(300 / count, 2.5, 5)),
                color=ORANGE, markeredgecolor="white", markeredgewidth=0.4 * (count <= LABELLED), label="median")  # fmt: skip
    else:
        part = frame.iloc[data.thinned(count, _BAND)]
        place = part.index.to_numpy()
        ax.fill_betweenx(place, part["q05"], part["q95"], color=PALE, linewidth=0, label="middle 90 %")
        ax.fill_betweenx(place, part["q25"], part["q75"], color=BLUE, alpha=0.55, linewidth=0, label="middle half")
        ax.plot(part["median"], place, color=ORANGE, linewidth=2, label="median")
    ax.axvline(0, color=GREY, linewidth=1)
    _levels(ax, frame["level"].tolist(), group, "by their median")
    ax.set_xlabel(unit)
    ax.set_title(f"Residuals by {group}", pad=_ABOVE)
    _legend_above(ax, 3)
    _finish(ax)


def qq(ax: Axes, frame: pd.DataFrame, title: str, unit: str, most: int = 3000) -> None:
    """Sorted values against normal quantiles; the line goes through the quartiles."""
    x, y = frame["theoretical"].to_numpy(), frame["sample"].to_numpy()
    slope = np.subtract(*np.quantile(y, [0.75, 0.25])) / np.subtract(*np.quantile(x, [0.75, 0.25])) if len(x) > 1 else 0.0
    middle = float(np.median(y)) - slope * float(np.median(x))
    ends = np.array([x.min(), x.max()])
    ax.plot(ends, middle + slope * ends, color=ORANGE, linewidth=1.5, zorder=3)
    # both tails whole, for that is where one looks; the middle thinned
    tail = most // 6
    kept = np.unique(np.concatenate([data.thinned(len(x), most), np.arange(min(tail, len(x))), np.arange(len(x))[-tail:]]))
    ax.scatter(x[kept], y[kept], s=10 if len(x) > 100 else 20, color=BLUE, alpha=0.7, linewidths=0, rasterized=len(kept) > 1000)
    ax.set(xlabel="Normal quantile", ylabel=unit, title=title)
    _finish(ax)


# --- groups ------------------------------------------------------------------------------------------------


def _levels(ax: Axes, levels: list[object], group: str, sorted_how: str) -> None:
    """The axis of groups, from bottom to top: their names when they can be read, or how many there are."""
    count = len(levels)
    pad = 0.6 if count <= LABELLED else 0.02 * count
    ax.set_ylim(-pad, count - 1 + pad)
    if count <= LABELLED:
        ax.set_yticks(range(count), [_short(level) for level in levels], fontsize="small", parse_math=False)
        ax.set_ylabel(group)
        ax.tick_params(axis="y", length=0)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{count:,} levels of {group}, sorted {sorted_how}")


def _short(label: object, most: int = 18) -> str:
    text = str(label)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def caterpillar(ax: Axes, frame: pd.DataFrame, group: str, term: str, level: float, sorted_how: str) -> None:
    """One term's modes with intervals, in the order of the rows; intervals that leave zero out are the dark ones."""
    count = len(frame)
    estimate, low, high = (frame[name].to_numpy() for name in ("estimate", "conf_low", "conf_high"))
    if count <= _SINGLY:
        place = np.arange(count)
        apart = (low > 0) | (high < 0)
        width = float(np.clip(220 / count, 0.7, 2.5))
        size = float(np.clip(350 / count, 1.5, 5))
        for mask, color, marker in ((~apart, GREY, "o"), (apart, BLUE, "D")):
            ax.hlines(place[mask], low[mask], high[mask], color=color, alpha=0.75, linewidth=width)
            ax.plot(estimate[mask], place[mask], linestyle="none", marker=marker, markersize=size, color=color)
    else:
        place = data.thinned(count, _BAND)
        ax.fill_betweenx(place, low[place], high[place], color=BLUE, alpha=0.3, linewidth=0)
        ax.plot(estimate[place], place, color=BLUE, linewidth=1.5)
    ax.axvline(0, color=ORANGE, linewidth=1.2)
    _levels(ax, frame["level"].tolist(), group, sorted_how)
    ax.set(xlabel=f"Deviation of a level, with {100 * level:g} % interval", title=f"{term} by {group}")
    _finish(ax)


def shrinkage_plane(ax: Axes, wide: pd.DataFrame, group: str, terms: tuple[str, str], center: tuple[float, float]) -> None:
    """Arrows from each group's own estimate of two coefficients to the model's.

    Parameters
    ----------
    ax : Axes
    wide : DataFrame
        Columns ``own_x, own_y, shrunken_x, shrunken_y``; a row a group.
    group : str
    terms : (str, str)
    center : (float, float)
        The fixed effects.
    """
    part = wide.iloc[data.thinned(len(wide), _SINGLY // 2)]
    start = part[["own_x", "own_y"]].to_numpy()
    end = part[["shrunken_x", "shrunken_y"]].to_numpy()
    way = end - start
    ax.quiver(start[:, 0], start[:, 1], way[:, 0], way[:, 1], angles="xy", scale_units="xy", scale=1, color=PALE,
              width=0.0022, headwidth=5, zorder=1)  # fmt: skip
    size = float(np.clip(2500 / len(part), 7, 28))
    ax.scatter(start[:, 0], start[:, 1], s=size, facecolors="none", edgecolors=GREY, linewidths=0.8, zorder=2,
               label="from its own rows alone")  # fmt: skip
    ax.scatter(end[:, 0], end[:, 1], s=size, color=BLUE, linewidths=0, zorder=3, label="in the model")
    ax.plot(*center, marker="X", markersize=11, color=ORANGE, markeredgecolor="white", linestyle="none", zorder=4,
            label="average")  # fmt: skip
    for axis, values, limit in ((0, wide["own_x"], ax.set_xlim), (1, wide["own_y"], ax.set_ylim)):
        limit(*_room(values.to_numpy(), end[:, axis]))
    _legend_above(ax, 3)
    ax.set(xlabel=f"{terms[0]} by {group}", ylabel=f"{terms[1]} by {group}")
    ax.set_title(f"Shrinkage of {group}", pad=_ABOVE)
    _finish(ax)


def shrinkage_single(ax: Axes, frame: pd.DataFrame, group: str, term: str, center: float) -> None:
    """The model's estimate over each group's own, with the line of no shrinkage and the line of full shrinkage."""
    own, shrunken = frame["own"].to_numpy(), frame["shrunken"].to_numpy()
    _cloud(ax, own, shrunken, what=f"levels of {group}")
    low, high = _room(own, shrunken)
    ax.plot([low, high], [low, high], color=GREY, linewidth=1.2, linestyle="--", label="no shrinkage")
    ax.axhline(center, color=ORANGE, linewidth=1.5, label="average: full shrinkage")
    ax.set_xlim(low, high)
    ax.set_ylim(*_room(shrunken, shrunken, pad=0.25))
    _legend_above(ax, 2)
    ax.set(xlabel=f"{term}, each level of {group} from its own rows alone", ylabel=f"{term} in the model")
    ax.set_title(f"Shrinkage of {group}", pad=_ABOVE)
    _finish(ax)


def _room(own: np.ndarray, shrunken: np.ndarray, pad: float = 0.06) -> tuple[float, float]:
    """Limits that hold all shrunken estimates and all but the wildest hundredths of the groups' own."""
    values = np.concatenate([np.quantile(own, [0.01, 0.99]), [shrunken.min(), shrunken.max()]])
    low, high = float(values.min()), float(values.max())
    margin = pad * (high - low) or 1.0
    return low - margin, high + margin


def _legend_above(ax: Axes, columns: int) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, frameon=False, fontsize="small", borderaxespad=0.2,
              handletextpad=0.4, columnspacing=1.2)  # fmt: skip


# --- lines -------------------------------------------------------------------------------------------------


def slopes(
    ax: Axes, lines: pd.DataFrame, population: pd.DataFrame, points: pd.DataFrame, words: tuple[str, str, str], of: int
) -> None:
    """Each group's line over its own range, the line of the fixed effects, and the data behind them.

    Parameters
    ----------
    ax : Axes
    lines, population : DataFrame
        As `data.slopes` and `data.population_line` give them.
    points : DataFrame
        Columns ``x, y``.
    words : (str, str, str)
        Names of x, the response and the grouping factor.
    of : int
        How many groups there are, of which some have lines.
    """
    from matplotlib.collections import LineCollection

    x, response, group = words
    few = len(points) <= 500
    ax.scatter(points["x"], points["y"], s=14 if few else 5, color=GREY if few else PALE, alpha=0.5 if few else 1.0,
               linewidths=0, rasterized=not few, zorder=1)  # fmt: skip
    paths = [part[["x", "y"]].to_numpy() for _, part in lines.groupby("level", sort=False, observed=True)]
    width = float(np.clip(100 / len(paths), 0.6, 1.6))
    drawn = f"{len(paths):,}" if len(paths) == of else f"{len(paths):,} of {of:,}"
    label = f"{drawn} levels of {group}"
    ax.add_collection(LineCollection(paths, colors=BLUE, linewidths=width, alpha=0.55, zorder=2, label=label))
    ax.plot(population["x"], population["y"], color="white", linewidth=5, zorder=3)
    ax.plot(population["x"], population["y"], color=ORANGE, linewidth=2.8, zorder=4, label="average")
    ax.autoscale_view()
    _legend_above(ax, 2)
    ax.set(xlabel=x, ylabel=response)
    ax.set_title(f"{response} and {x}, a line for each {group}", pad=_ABOVE)
    _finish(ax)


# --- intervals ---------------------------------------------------------------------------------------------


def profile_zeta(ax: Axes, frame: pd.DataFrame, parameter: str, estimate: float, level: float) -> None:
    """zeta of one parameter: straight means that a symmetric interval is right. The band is the interval at `level`."""
    quantile = NormalDist().inv_cdf(0.5 + 0.5 * level)
    ax.axhspan(-quantile, quantile, color=PALE, alpha=0.45, linewidth=0)
    ax.axhline(0, color=GREY, linewidth=0.8)
    if np.isfinite(estimate):
        ax.axvline(estimate, color=ORANGE, linewidth=1.2)
    ax.plot(frame["value"], frame["zeta"], color=BLUE, linewidth=1.8)
    computed = frame[frame["computed"]]
    ax.plot(computed["value"], computed["zeta"], linestyle="none", marker="o", markersize=3.5, color=BLUE)
    ax.set_title(parameter, fontsize="medium")
    ax.locator_params(axis="x", nbins=4)
    _finish(ax)


def bootstrap_density(ax: Axes, frame: pd.DataFrame, parameter: str, estimate: float, ends: tuple[float, float]) -> None:
    """The replicates of one parameter as a histogram, the estimate, and an interval below."""
    widths = frame["high"] - frame["low"]
    ax.bar(frame["low"], frame["density"], width=widths, align="edge", color=BLUE, alpha=0.6, linewidth=0)
    if np.isfinite(estimate):
        ax.axvline(estimate, color=ORANGE, linewidth=1.8)
    top = float(frame["density"].max()) if len(frame) else 1.0
    ax.plot(ends, [-0.05 * top] * 2, color="black", linewidth=3, solid_capstyle="butt")
    ax.set_ylim(-0.1 * top, 1.05 * top)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_title(parameter, fontsize="medium")
    ax.locator_params(axis="x", nbins=4)
    _finish(ax)
