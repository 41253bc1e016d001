"""Pictures of a report: SVG inside the page, one figure per panel, with text alternatives."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixedfast.errors import DataError
from mixedfast.report.plots import Plots, draw, plot_bootstrap, plot_profile
from mixedfast.report.plots.canvas import NewFigure, off_screen, style
from mixedfast.report.plots.regression import RegressionPlots

if TYPE_CHECKING:
    from mixedfast.inference.intervals.bootstrap_intervals import Replicates
    from mixedfast.inference.intervals.profile import LikelihoodProfile
    from mixedfast.report.protocols import LeastSquaresModel, MixedModel

__all__ = ["bootstrap_html", "pictures_html", "profile_html", "residual_pictures_html"]

#: Dots per inch of the parts of an SVG that are images: clouds of thousands of points.
_DPI = 150

#: Inches: the same for all figures, so that their letters are of one size.
_WIDTH = 5.6


class _Album:
    """A figure with each panel on a page of its own, which a narrow screen shows in a column."""

    def __init__(self, width: float, height: float) -> None:
        self.size = width, height
        self.pages: list[Any] = []

    def subplots(self, rows: int, columns: int, squeeze: bool) -> np.ndarray:
        height = self.size[1] / rows
        self.pages = [off_screen(_WIDTH, height) for _ in range(rows * columns)]
        return np.array([page.subplots() for page in self.pages], dtype=object).reshape(
            rows, columns
        )


class _Picture(NamedTuple):
    draw: Callable[[Plots], Any]
    how_to_read: str


def _album_of(m: MixedModel) -> list[_Picture]:
    """List the pictures of a mixed model, each with a caption on how to read it."""
    first = next(iter(m.n_groups))
    singly = max(m.n_groups.values()) <= draw.SINGLY
    return [
        _Picture(
            lambda plot: plot.slopes(),
            "One line per group, over the values that occur in it, and the line of the average "
            "group. Lines that fan out mean that the effect of the predictor differs between "
            "groups.",
        ),
        _Picture(
            lambda plot: plot.caterpillar(),
            "The deviation of each group from the average, with an interval."
            + (
                " Blue diamonds are groups whose interval excludes zero, grey dots the others."
                if singly
                else " Where there are very many groups the intervals form a band."
            ),
        ),
        _Picture(
            lambda plot: plot.shrinkage(first),
            "The estimate from each group's own rows, and the estimate of the model. The fewer "
            "rows a group has, the further the model moves its estimate towards the average.",
        ),
        _Picture(
            lambda plot: plot.residuals(),
            "Residuals against fitted values. They should form a band without a trend and of even "
            "width.",
        ),
        _Picture(
            lambda plot: plot.qq(),
            "Points on the line follow a normal distribution, as the model assumes. Ends that bend "
            "away mean more, or fewer, extreme values. By chance alone 95 % of the points stay in "
            "the grey band.",
        ),
        _Picture(
            lambda plot: plot.residuals_by_group(first),
            "The residuals of each group. All should be centred on zero. Groups of very different "
            "width have different residual variances, which the model does not allow for.",
        ),
    ]


def pictures_html(m: MixedModel) -> str:
    """Draw all pictures of a result as figures of HTML, with a note for those it cannot give.

    Raises
    ------
    MissingLibraryError
        Without matplotlib.
    """
    figures: list[str] = []
    notes: list[str] = []
    for picture in _album_of(m):
        try:
            figures += _figures(partial(_draw, m, picture), picture.how_to_read)
        except DataError as reason:
            notes.append(str(reason))
    missing = "".join(
        f'<p class="soft">Not drawn: {escape(note)}.</p>' for note in dict.fromkeys(notes)
    )
    return f"{_together(figures)}{missing}"


def _draw(m: MixedModel, picture: _Picture, new_figure: NewFigure) -> None:
    picture.draw(Plots(m, new_figure))


def residual_pictures_html(m: LeastSquaresModel) -> str:
    """Draw the residuals of a regression over fitted values, and their quantiles."""

    def panels(new_figure: NewFigure) -> None:
        plot = RegressionPlots(m, new_figure)
        plot.residuals()
        plot.qq()

    return _together(
        _figures(
            panels,
            "Residuals should form a band without a trend and of even width, and follow the line "
            "of the normal distribution.",
        )
    )


def profile_html(profile: LikelihoodProfile, level: float) -> str:
    """Draw the panels of a profile as figures of HTML."""
    return _together(
        _figures(
            lambda new_figure: plot_profile(profile, level, None, new_figure),
            "The likelihood profile of each parameter. The interval ends where the curve leaves "
            "the grey band. A straight curve means that the interval is symmetric.",
        )
    )


def bootstrap_html(bootstrap: Replicates, level: float) -> str:
    """Draw the panels of a bootstrap as figures of HTML."""
    return _together(
        _figures(
            lambda new_figure: plot_bootstrap(bootstrap, level, None, new_figure),
            f"Estimates from {bootstrap.n_done:,} data sets drawn from the model, one panel per "
            "parameter. The line is the estimate, the bar below is the interval.",
        )
    )


def _together(figures: list[str]) -> str:
    return f'<div class="pictures">{"".join(figures)}</div>'


def _figures(panels: Callable[[NewFigure], Any], how_to_read: str) -> list[str]:
    """Collect the panels that a function draws, one figure per panel."""
    albums: list[_Album] = []

    def new_figure(width: float, height: float) -> _Album:
        albums.append(_Album(width, height))
        return albums[-1]

    with style():
        panels(new_figure)
        pages = [page for album in albums for page in album.pages if page.axes]
        return [_figure(page, how_to_read, first=page is pages[0]) for page in pages]


def _figure(page: Any, how_to_read: str, first: bool) -> str:
    """Build one figure with its text alternative; the first of a kind also says how to read it."""
    ax = page.axes[0]
    named = {"": ax.get_title(), "Across: ": ax.get_xlabel(), "Upwards: ": ax.get_ylabel()}
    alternative = " ".join(f"{where}{what}." for where, what in named.items() if what)
    caption = f"<figcaption>{escape(how_to_read)}</figcaption>" if first else ""
    return f'<figure><img alt="{escape(alternative)}" src="{_data_uri(page)}">{caption}</figure>'


def _data_uri(page: Any) -> str:
    """Encode the picture in an address, so that nothing is fetched.

    Identical fits give identical bytes.
    """
    held = io.BytesIO()
    page.savefig(held, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
