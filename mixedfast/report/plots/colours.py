"""The colours of pictures, chosen for the background they are drawn on.

Blue, sky blue and orange are those of Okabe and Ito (2008, Color Universal Design), which readers
with red-green colour blindness can distinguish. Each colour has a shape, a place or a width of its
own too, for print without colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap

__all__ = ["Inks", "counts", "inks"]

#: Backgrounds darker than this luminance (0 black, 1 white) get the light colours. Black and white
#: have equal contrast with it.
_DARK = 0.18


class Inks(NamedTuple):
    """Colours, named by their look on white.

    Attributes
    ----------
    strong, soft : str
        The subject of a picture, as points or lines, and as areas or intervals behind them.
    mark : str
        A reference: an average, a line of no effect, an estimate.
    grey, pale : str
        The background of a picture, near and far.
    ink, paper : str
        The colour of letters and of the paper.
    """

    strong: str
    soft: str
    mark: str
    grey: str
    pale: str
    ink: str
    paper: str


_ON_LIGHT = Inks("#0072B2", "#8CC0DE", "#D55E00", "#6E6E6E", "#C4C4C4", "black", "white")
_ON_DARK = Inks("#56B4E9", "#25607F", "#E69F00", "#A3A3A3", "#5C5C5C", "white", "black")


def inks(ax: Axes) -> Inks:
    """Choose the colours for the background of these axes or, if clear, of their figure."""
    import numpy as np
    from matplotlib.colors import to_rgba

    ground = next(
        (c for c in (ax.get_facecolor(), ax.figure.get_facecolor()) if to_rgba(c)[3] > 0), "white"
    )
    share = np.array(to_rgba(ground)[:3])
    linear = np.where(
        share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4
    )  # sRGB, IEC 61966-2-1
    return _ON_DARK if linear @ (0.2126, 0.7152, 0.0722) < _DARK else _ON_LIGHT


def counts(ax: Axes) -> ListedColormap:
    """Make shades from few to many; the palest one is visible on the background."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    shades = colormaps["Blues"](np.linspace(0.25, 1.0, 256))
    return ListedColormap(shades[::-1] if inks(ax) is _ON_DARK else shades)
