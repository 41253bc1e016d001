"""The colours of pictures, chosen for the ground they are drawn on.

Blue, sky and orange are those of Okabe and Ito (2008, Color Universal Design): who sees no red or no green tells them apart.
What a colour says, a shape, a place or a width says too, for print without colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap

__all__ = ["Inks", "counts", "inks"]

#: Grounds darker than this luminance (0 black, 1 white) get the light colours: it lies halfway in contrast between both.
_DARK = 0.18


class Inks(NamedTuple):
    """Named by what they look like on white.

    Attributes
    ----------
    strong, soft : str
        What a picture is about, as points or lines, and as areas or intervals behind them.
    mark : str
        What one compares with: an average, a line of no effect, an estimate.
    grey, pale : str
        What stands back, and what stands further back.
    ink, paper : str
        The letters' colour and the ground's.
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
    """The colours that show on the ground of these axes, or, where those are clear, of their figure."""
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
    """Shades from few to many; the palest still shows on the ground."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    shades = colormaps["Blues"](np.linspace(0.25, 1.0, 256))
    return ListedColormap(shades[::-1] if inks(ax) is _ON_DARK else shades)
