"""Functions that draw the tables of `mixedfast.report.plots.data` on axes of matplotlib.

Each draws on the axes it is given and returns nothing.
"""

from __future__ import annotations

import textwrap
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.report.plots import data
from mixedfast.report.plots.canvas import KEY, LEGEND, LETTER, columns_of_key
from mixedfast.report.plots.colours import counts, inks
from mixedfast.report.wording import counted, plural

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "LABELLED",
    "SINGLY",
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

#: Up to this number of groups have their names on the axis.
LABELLED = 45
#: Up to this number of points are drawn one by one; more are counted in hexagons.
_POINTS = 5000
#: Fewest rows in a bin whose mean residual is drawn.
_ROWS_A_BIN = 20
#: Inches of a name on an axis, at the default size of letters.
_NAME = 0.12
#: Fewest letters of a line of a legend.
_SHORTEST = 10
_POINTS_AN_INCH = 72
#: Points of space above a picture for each line of its legend, and once.
_LEGEND_LINE, _LEGEND_ROOM = 13, 12
#: Up to this number of groups are drawn one by one; more become a band, of so many points.
SINGLY, _BAND = 800, 2000


def _finish(ax: Axes) -> None:
    """Remove the upper and right lines of the frame, wrap long labels, switch off math in names."""
    ax.spines[["top", "right"]].set_visible(False)
    wide, high = _inches(ax)
    for text, room in ((ax.title, wide), (ax.xaxis.label, wide), (ax.yaxis.label, high)):
        # a letter is about half as wide as high; names with many capitals are wider, and the
        # margins beside the axes give room
        letters = int(room * _POINTS_AN_INCH / (0.5 * float(text.get_fontsize())))
        text.set_text(
            textwrap.fill(
                text.get_text(), max(letters, 8), break_long_words=False, break_on_hyphens=False
            )
        )
    legend = ax.get_legend()
    for text in (
        ax.title,
        ax.xaxis.label,
        ax.yaxis.label,
        *(legend.get_texts() if legend is not None else ()),
    ):
        text.set_parse_math(False)


def _inches(ax: Axes) -> tuple[float, float]:
    """Measure the axes, width and height, before the figure is laid out."""
    box = ax.get_window_extent()
    return box.width / ax.figure.dpi, box.height / ax.figure.dpi


def _titled(ax: Axes, title: str) -> None:
    """Put a legend above the axes, in as many columns as fit, and the title above the legend."""
    handles, labels = ax.get_legend_handles_labels()
    room = _inches(ax)[0]
    columns = columns_of_key(labels, room)
    letters = max(int((room / max(columns, 1) - KEY) / LETTER), _SHORTEST)
    shown = [label if columns > 1 else textwrap.fill(label, letters) for label in labels]
    lines = -(-sum(label.count("\n") + 1 for label in shown) // columns) if shown else 0
    if shown:
        legend = ax.legend(
            handles,
            shown,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            borderaxespad=0.2,
            **LEGEND,
        )
        for line in legend.get_lines():
            line.set_linewidth(max(line.get_linewidth(), 1.5))
    ax.set_title(title, pad=_LEGEND_ROOM + _LEGEND_LINE * lines if lines else None)


def _cloud(ax: Axes, x: np.ndarray, y: np.ndarray, what: str = "rows") -> None:
    """Draw points; for very many, a map of their number with its key."""
    if len(x) <= _POINTS:
        size = float(np.clip(4000 / max(len(x), 1), 3, 22))
        ax.scatter(
            x,
            y,
            s=size,
            color=inks(ax).strong,
            alpha=0.45 if len(x) > 300 else 0.7,
            linewidths=0,
            rasterized=len(x) > 1000,
        )
        return
    cells = ax.hexbin(
        x, y, gridsize=45, bins="log", mincnt=1, cmap=counts(ax), linewidths=0, rasterized=True
    )
    ax.figure.colorbar(cells, ax=ax, label=f"Number of {what}", pad=0.01, format="{x:,.0f}")


# --- residuals ------------------------------------------------------------------------------------


def residuals(ax: Axes, frame: pd.DataFrame, response: str, unit: str) -> None:
    """Draw residuals against fitted values, with their means in bins of equally many rows."""
    x, y = frame["fitted"].to_numpy(), frame["residual"].to_numpy()
    color = inks(ax)
    _cloud(ax, x, y)
    ax.axhline(0, color=color.grey, linewidth=1)
    bins = min(15, len(x) // _ROWS_A_BIN)
    if bins > 1:
        mean = data.trend(x, y, bins)
        ax.plot(
            mean["x"],
            mean["y"],
            color=color.mark,
            linewidth=2,
            marker="o",
            markersize=3.5,
            label=f"means in {bins} bins of equal size",
        )
    ax.set(xlabel=f"Fitted {response}", ylabel=unit)
    _titled(ax, "Residuals against fitted values")
    _finish(ax)


def residuals_by_group(ax: Axes, frame: pd.DataFrame, group: str, unit: str) -> None:
    """Draw the median, the middle 50 % and the middle 90 % of each group's residuals."""
    count, color = len(frame), inks(ax)
    if count <= SINGLY:
        place = np.arange(count)
        thick = float(np.clip(300 / count, 0.8, 5.0))
        ax.hlines(
            place,
            frame["q05"],
            frame["q95"],
            color=color.pale,
            linewidth=max(thick / 2.5, 0.7),
            label="middle 90 %",
        )
        ax.hlines(
            place,
            frame["q25"],
            frame["q75"],
            color=color.soft,
            linewidth=thick,
            label="middle 50 %",
        )
        ax.plot(
            frame["median"],
            place,
            linestyle="none",
            marker="D",
            markersize=float(np.clip(300 / count, 2.5, 5)),
            color=color.mark,
            markeredgewidth=0,
            label="median",
        )
    else:
        part = frame.iloc[data.thinned(count, _BAND)]
        place = part.index.to_numpy()
        ax.fill_betweenx(
            place, part["q05"], part["q95"], color=color.pale, linewidth=0, label="middle 90 %"
        )
        ax.fill_betweenx(
            place, part["q25"], part["q75"], color=color.soft, linewidth=0, label="middle 50 %"
        )
        ax.plot(part["median"], place, color=color.mark, linewidth=2, label="median")
    ax.axvline(0, color=color.grey, linewidth=1)
    _levels(ax, frame["level"].tolist(), group, "sorted by median")
    ax.set_xlabel(unit)
    _titled(ax, f"Residuals by {group}")
    _finish(ax)


def qq(ax: Axes, frame: pd.DataFrame, title: str, unit: str, most: int = 3000) -> None:
    """Draw sorted values against normal quantiles, a line through the quartiles, and its band."""
    color, count = inks(ax), len(frame)
    # both tails complete, because they matter most; the middle thinned
    tail = most // 6
    ends = (np.arange(min(tail, count)), np.arange(count)[-tail:])
    part = frame.iloc[np.unique(np.concatenate([data.thinned(count, most), *ends]))]
    x = part["theoretical"]
    ax.fill_between(
        x, part["low"], part["high"], color=color.pale, alpha=0.6, linewidth=0, zorder=1
    )
    ax.plot(x.iloc[[0, -1]], part["line"].iloc[[0, -1]], color=color.mark, linewidth=1.5, zorder=3)
    ax.scatter(
        x,
        part["sample"],
        s=10 if count > 100 else 20,
        color=color.strong,
        alpha=0.7,
        linewidths=0,
        rasterized=len(part) > 1000,
        zorder=2,
    )
    ax.set(xlabel="Normal quantile", ylabel=unit, title=title)
    _finish(ax)


# --- groups ---------------------------------------------------------------------------------------


def _levels(ax: Axes, levels: list[object], group: str, sorted_how: str) -> None:
    """Label the axis of groups, from bottom to top: with legible names, else with their number."""
    count = len(levels)
    named = count <= LABELLED and count * _NAME <= _inches(ax)[1]
    pad = 0.6 if count <= LABELLED else 0.02 * count
    ax.set_ylim(-pad, count - 1 + pad)
    if named:
        ax.set_yticks(
            range(count), [_short(level) for level in levels], fontsize="small", parse_math=False
        )
        ax.set_ylabel(group)
        ax.tick_params(axis="y", length=0)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{counted(count, group)}, {sorted_how}")


def _short(label: object, most: int = 18) -> str:
    """Shorten a long name to both its ends: names of one kind often differ only there."""
    text = str(label)
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - half]}…{text[-half:]}"


def caterpillar(
    ax: Axes, frame: pd.DataFrame, group: str, term: str, level: float, sorted_how: str
) -> None:
    """Draw the modes of one term with intervals, in the order of the rows.

    Intervals that exclude zero are coloured.
    """
    count, color = len(frame), inks(ax)
    estimate, low, high = (frame[name].to_numpy() for name in ("estimate", "conf_low", "conf_high"))
    if count <= SINGLY:
        place = np.arange(count)
        apart = (low > 0) | (high < 0)
        width = float(np.clip(220 / count, 0.7, 2.5))
        size = float(np.clip(350 / count, 1.8, 5))
        for mask, reach, dot, marker in (
            (~apart, color.pale, color.grey, "o"),
            (apart, color.soft, color.strong, "D"),
        ):
            ax.hlines(place[mask], low[mask], high[mask], color=reach, linewidth=width, zorder=2)
            ax.plot(
                estimate[mask],
                place[mask],
                linestyle="none",
                marker=marker,
                markersize=size,
                color=dot,
                zorder=3,
                markeredgewidth=0,
            )
    else:
        place = data.thinned(count, _BAND)
        ax.fill_betweenx(place, low[place], high[place], color=color.soft, linewidth=0)
        ax.plot(estimate[place], place, color=color.strong, linewidth=1.5)
    ax.axvline(0, color=color.mark, linewidth=1.2, zorder=2.5)
    _levels(ax, frame["level"].tolist(), group, sorted_how)
    ax.set(
        xlabel=f"Deviation from average, with {100 * level:g} % interval",
        title=f"{term} by {group}",
    )
    _finish(ax)


def shrinkage_plane(
    ax: Axes, wide: pd.DataFrame, group: str, terms: tuple[str, str], center: tuple[float, float]
) -> None:
    """Draw arrows from each group's own estimate of two coefficients to the estimate of the model.

    Parameters
    ----------
    ax : Axes
    wide : DataFrame
        Columns ``own_x, own_y, shrunken_x, shrunken_y``; one row per group.
    group : str
    terms : (str, str)
    center : (float, float)
        The fixed effects.
    """
    part = wide.iloc[data.thinned(len(wide), SINGLY // 2)]
    start = part[["own_x", "own_y"]].to_numpy()
    end = part[["shrunken_x", "shrunken_y"]].to_numpy()
    way = end - start
    color = inks(ax)
    frames = [_room(wide[f"own_{side}"].to_numpy(), end[:, axis]) for axis, side in enumerate("xy")]
    outside = int(
        sum(
            any(not low <= v <= high for v, (low, high) in zip(point, frames, strict=True))
            for point in start
        )
    )
    ax.quiver(
        start[:, 0],
        start[:, 1],
        way[:, 0],
        way[:, 1],
        angles="xy",
        scale_units="xy",
        scale=1,
        color=color.pale,
        width=0.0022,
        headwidth=5,
        zorder=1,
    )
    size = float(np.clip(2500 / len(part), 7, 28))
    ax.scatter(
        start[:, 0],
        start[:, 1],
        s=size,
        facecolors="none",
        edgecolors=color.grey,
        linewidths=0.8,
        zorder=2,
        label="from the group's own rows" + (f" ({outside:,} outside)" if outside else ""),
    )
    ax.scatter(
        end[:, 0],
        end[:, 1],
        s=size,
        color=color.strong,
        linewidths=0,
        zorder=3,
        label="model estimate",
    )
    ax.plot(
        *center,
        marker="X",
        markersize=11,
        color=color.mark,
        markeredgecolor=color.paper,
        linestyle="none",
        zorder=4,
        label="average",
    )
    ax.set(
        xlim=frames[0],
        ylim=frames[1],
        xlabel=f"{terms[0]} by {group}",
        ylabel=f"{terms[1]} by {group}",
    )
    _titled(ax, f"Shrinkage of {group}")
    _finish(ax)


def shrinkage_single(ax: Axes, frame: pd.DataFrame, group: str, term: str, center: float) -> None:
    """Draw the estimate of the model against each group's own; lines show no and full shrinkage."""
    own, shrunken, color = frame["own"].to_numpy(), frame["shrunken"].to_numpy(), inks(ax)
    _cloud(ax, own, shrunken, what=plural(group))
    low, high = _room(own, shrunken)
    ax.plot(
        [low, high],
        [low, high],
        color=color.grey,
        linewidth=1.2,
        linestyle="--",
        label="no shrinkage",
    )
    ax.axhline(center, color=color.mark, linewidth=1.5, label="average: full shrinkage")
    ax.set_xlim(low, high)
    ax.set_ylim(*_room(shrunken, shrunken, pad=0.25))
    ax.set(
        xlabel=f"{term} by {group}, from the group's own rows",
        ylabel=f"{term} by {group}, model estimate",
    )
    _titled(ax, f"Shrinkage of {group}")
    _finish(ax)


def _room(own: np.ndarray, shrunken: np.ndarray, pad: float = 0.06) -> tuple[float, float]:
    """Choose limits that contain all shrunken estimates and the inner 98 % of the groups' own."""
    values = np.concatenate([np.quantile(own, [0.01, 0.99]), [shrunken.min(), shrunken.max()]])
    low, high = float(values.min()), float(values.max())
    margin = pad * (high - low) or 1.0
    return low - margin, high + margin


# --- lines ----------------------------------------------------------------------------------------


def slopes(
    ax: Axes,
    lines: pd.DataFrame,
    population: pd.DataFrame,
    points: pd.DataFrame,
    words: tuple[str, str, str],
    of: int,
) -> None:
    """Draw each group's line over its own range, the line of the fixed effects, and the data.

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
        Number of groups, of which some have lines.
    """
    from matplotlib.collections import LineCollection

    x, response, group = words
    color = inks(ax)
    few = len(points) <= 500
    ax.scatter(
        points["x"],
        points["y"],
        s=14 if few else 5,
        color=color.grey if few else color.pale,
        alpha=0.5 if few else 1.0,
        linewidths=0,
        rasterized=not few,
        zorder=1,
    )
    paths = [
        part[["x", "y"]].to_numpy() for _, part in lines.groupby("level", sort=False, observed=True)
    ]
    width = float(np.clip(100 / len(paths), 0.6, 1.6))
    label = counted(of, group) if len(paths) == of else f"{len(paths):,} of {counted(of, group)}"
    ax.add_collection(
        LineCollection(
            paths, colors=color.strong, linewidths=width, alpha=0.55, zorder=2, label=label
        )
    )
    ax.plot(population["x"], population["y"], color=color.paper, linewidth=5, zorder=3)
    ax.plot(
        population["x"], population["y"], color=color.mark, linewidth=2.8, zorder=4, label="average"
    )
    ax.autoscale_view()
    ax.set(xlabel=x, ylabel=response)
    _titled(ax, f"{response} and {x}, one line per {group}")
    _finish(ax)


# --- intervals ------------------------------------------------------------------------------------


def profile_zeta(
    ax: Axes, frame: pd.DataFrame, parameter: str, estimate: float, level: float
) -> None:
    """Draw zeta of one parameter; the band is the interval at `level`.

    A straight line means that a symmetric interval is appropriate.
    """
    quantile, color = NormalDist().inv_cdf(0.5 + 0.5 * level), inks(ax)
    ax.axhspan(
        -quantile,
        quantile,
        color=color.pale,
        alpha=0.45,
        linewidth=0,
        label=f"{100 * level:g} % interval",
    )
    ax.axhline(0, color=color.grey, linewidth=0.8)
    if np.isfinite(estimate):
        ax.axvline(estimate, color=color.mark, linewidth=1.2, label="estimate")
    ax.plot(frame["value"], frame["zeta"], color=color.strong, linewidth=1.8)
    computed = frame[frame["computed"]]
    ax.plot(
        computed["value"],
        computed["zeta"],
        linestyle="none",
        marker="o",
        markersize=3.5,
        color=color.strong,
        label="computed",
    )
    ax.set_title(parameter, fontsize="medium")
    ax.locator_params(axis="x", nbins=4)
    _finish(ax)


def bootstrap_density(
    ax: Axes,
    frame: pd.DataFrame,
    parameter: str,
    estimate: float,
    ends: tuple[float, float],
    level: float,
) -> None:
    """Draw the replicates of one parameter as a histogram, the estimate, and an interval below."""
    color, widths = inks(ax), frame["high"] - frame["low"]
    ax.bar(
        frame["low"],
        frame["density"],
        width=widths,
        align="edge",
        color=color.soft,
        linewidth=0,
        label="replicates",
    )
    if np.isfinite(estimate):
        ax.axvline(estimate, color=color.mark, linewidth=1.8, label="estimate")
    top = float(frame["density"].max()) if len(frame) else 1.0
    ax.plot(
        ends,
        [-0.05 * top] * 2,
        color=color.ink,
        linewidth=3,
        solid_capstyle="butt",
        label=f"{100 * level:g} % interval",
    )
    ax.set_ylim(-0.1 * top, 1.05 * top)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_title(parameter, fontsize="medium")
    ax.locator_params(axis="x", nbins=4)
    _finish(ax)
