"""The pictures of a report: SVG in the page itself, one panel a figure, each with words for those who cannot see it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixedfast.errors import DataError
from mixedfast.report.plots import Plots
from mixedfast.report.plots.canvas import off_screen, style

if TYPE_CHECKING:
    from mixedfast.result import LMMResult

__all__ = ["pictures_html"]

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
        return np.array([page.subplots() for page in self.pages], dtype=object).reshape(rows, columns)


class _Picture(NamedTuple):
    draw: Callable[[Plots], Any]
    how_to_read: str


def _wanted(m: LMMResult) -> list[_Picture]:
    first = next(iter(m.n_groups))
    return [
        _Picture(
            lambda plot: plot.slopes(),
            "One line a group, over the values that occur in it, and the line of the average group. Lines that fan out mean "
            "that the predictor matters more in some groups than in others.",
        ),
        _Picture(
            lambda plot: plot.caterpillar(),
            "How far each group lies from the average, with an interval. The darker diamonds are groups whose interval leaves "
            "zero out.",
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
            "more, or fewer, extreme values.",
        ),
        _Picture(
            lambda plot: plot.residuals_by_group(first),
            "The residuals of each group. All should lie around zero; groups of very different width have different residual "
            "variances, which the model does not allow for.",
        ),
    ]


def pictures_html(m: LMMResult) -> str:
    """All pictures that this result can give, as figures of HTML; a note for those that it cannot.

    Raises
    ------
    MissingLibraryError
        Without matplotlib.
    """
    figures: list[str] = []
    notes: list[str] = []
    for wanted in _wanted(m):
        albums: list[_Album] = []

        def new_figure(width: float, height: float, albums: list[_Album] = albums) -> _Album:
            albums.append(_Album(width, height))
            return albums[-1]

        try:
            with style():
                wanted.draw(Plots(m, new_figure))
                pages = [page for album in albums for page in album.pages if page.axes]
                figures += [_figure(page, wanted.how_to_read, first=page is pages[0]) for page in pages]
        except DataError as reason:
            notes.append(str(reason))
    missing = "".join(f'<p class="soft">Not drawn: {escape(note)}.</p>' for note in dict.fromkeys(notes))
    return f'<div class="pictures">{"".join(figures)}</div>{missing}'


def _figure(page: Any, how_to_read: str, first: bool) -> str:
    """One figure; what it shows in words, and once how to read its kind."""
    ax = page.axes[0]
    alternative = f"{ax.get_title()}. Across: {ax.get_xlabel()}. Upwards: {ax.get_ylabel()}."
    caption = f"<figcaption>{escape(how_to_read)}</figcaption>" if first else ""
    return f'<figure><img alt="{escape(alternative)}" src="{_data_uri(page)}">{caption}</figure>'


def _data_uri(page: Any) -> str:
    """The picture as an address that holds it: nothing is fetched, and identical fits give identical bytes."""
    held = io.BytesIO()
    page.savefig(held, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
