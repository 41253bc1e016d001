"""The pictures of a report: SVG in the page itself, one panel a figure, each with words for those who cannot see it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixedfast.errors import DataError
from mixedfast.report.plots import Plots, plot_bootstrap, plot_profile
from mixedfast.report.plots.canvas import NewFigure, off_screen, style
from mixedfast.report.plots.regression import RegressionPlots

if TYPE_CHECKING:
    from mixedfast.inference.intervals.bootstrap_intervals import Replicates
    from mixedfast.inference.intervals.profile import LikelihoodProfile
    from mixedfast.report.protocols import LeastSquaresModel, MixedModel

__all__ = ["bootstrap_html", "pictures_html", "profile_html", "residual_pictures_html"]

#: Dots per inch of what is drawn as points inside an SVG: clouds of thousands.
_DPI = 150


#: Inches: the same for all, so that their letters are of one size.
_WIDTH = 5.6


class _Album:
    """A figure that puts each panel on a page of its own, so that a narrow screen shows one below the other."""

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


def _wanted(m: MixedModel) -> list[_Picture]:
    first = next(iter(m.n_groups))
    return [
        _Picture(
            lambda plot: plot.slopes(),
            "One line a group, over the values that occur in it, and the line of the average group. Lines that fan out mean "
            "that the predictor matters more in some groups than in others.",
        ),
        _Picture(
            lambda plot: plot.caterpillar(),
            "How far each group lies from the average, with an interval. Blue diamonds are groups whose interval leaves zero "
            "out, grey dots the others.",
        ),
        _Picture(
            lambda plot: plot.shrinkage(first),
            "What each group says by itself and what the model makes of it: the less a group can say, the further it is moved "
            "towards the average.",
        ),
        _Picture(
            lambda plot: plot.residuals(),
            "What the model leaves unexplained, over what it predicts. It should be a band without a trend and of even width.",
        ),
        _Picture(
            lambda plot: plot.qq(),
            "Points on the line are distributed like a normal distribution, as the model supposes. Ends that bend away mean "
            "more, or fewer, extreme values; nineteen points in twenty stay in the grey band by chance alone.",
        ),
        _Picture(
            lambda plot: plot.residuals_by_group(first),
            "The residuals of each group. All should lie around zero; groups of very different width have different residual "
            "variances, which the model does not allow for.",
        ),
    ]


def pictures_html(m: MixedModel) -> str:
    """All pictures that this result can give, as figures of HTML; a note for those that it cannot.

    Raises
    ------
    MissingLibraryError
        Without matplotlib.
    """
    figures: list[str] = []
    notes: list[str] = []
    for wanted in _wanted(m):
        try:
            figures += _figures(partial(_draw, m, wanted), wanted.how_to_read)
        except DataError as reason:
            notes.append(str(reason))
    missing = "".join(
        f'<p class="soft">Not drawn: {escape(note)}.</p>' for note in dict.fromkeys(notes)
    )
    return f"{_together(figures)}{missing}"


def _draw(m: MixedModel, wanted: _Picture, new_figure: NewFigure) -> None:
    wanted.draw(Plots(m, new_figure))


def residual_pictures_html(m: LeastSquaresModel) -> str:
    """Residuals of a regression over fitted values, and their quantiles."""

    def panels(new_figure: NewFigure) -> None:
        plot = RegressionPlots(m, new_figure)
        plot.residuals()
        plot.qq()

    return _together(
        _figures(
            panels,
            "What the model leaves unexplained should be a band without a trend and of even width, and lie along the line of "
            "the normal distribution.",
        )
    )


def profile_html(profile: LikelihoodProfile, level: float) -> str:
    """The panels of a profile as figures of HTML."""
    return _together(
        _figures(
            lambda new_figure: plot_profile(profile, level, None, new_figure),
            "How fast the likelihood falls away from the estimate, a panel a parameter. Where the curve leaves the grey band, "
            "the interval ends; a straight curve means that the interval is symmetric.",
        )
    )


def bootstrap_html(bootstrap: Replicates, level: float) -> str:
    """The panels of a bootstrap as figures of HTML."""
    return _together(
        _figures(
            lambda new_figure: plot_bootstrap(bootstrap, level, None, new_figure),
            f"Estimates from {bootstrap.n_done:,} data sets drawn from the model, a panel a parameter. The line is the "
            "estimate, the bar below the interval.",
        )
    )


def _together(figures: list[str]) -> str:
    return f'<div class="pictures">{"".join(figures)}</div>'


def _figures(panels: Callable[[NewFigure], Any], how_to_read: str) -> list[str]:
    """What a function draws, a figure a panel."""
    albums: list[_Album] = []

    def new_figure(width: float, height: float) -> _Album:
        albums.append(_Album(width, height))
        return albums[-1]

    with style():
        panels(new_figure)
        pages = [page for album in albums for page in album.pages if page.axes]
        return [_figure(page, how_to_read, first=page is pages[0]) for page in pages]


def _figure(page: Any, how_to_read: str, first: bool) -> str:
    """One figure; what it shows in words, and once how to read its kind."""
    ax = page.axes[0]
    named = {"": ax.get_title(), "Across: ": ax.get_xlabel(), "Upwards: ": ax.get_ylabel()}
    alternative = " ".join(f"{where}{what}." for where, what in named.items() if what)
    caption = f"<figcaption>{escape(how_to_read)}</figcaption>" if first else ""
    return f'<figure><img alt="{escape(alternative)}" src="{_data_uri(page)}">{caption}</figure>'


def _data_uri(page: Any) -> str:
    """The picture as an address that holds it: nothing is fetched, and identical fits give identical bytes."""
    held = io.BytesIO()
    page.savefig(held, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
