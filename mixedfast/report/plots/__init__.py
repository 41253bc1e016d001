"""Pictures of a fit: `Plots`, which results carry as ``m.plot``.

A picture is two functions: one in `data` makes a table of the fit, one in `draw` puts the table on
axes. `row_plots` has the pictures of any result, `regression` those of a regression. `canvas` is
the only module that imports figures of matplotlib, when the first picture is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mixedfast.errors import DataError
from mixedfast.inference.intervals.bootstrap_intervals import Replicates, bootstrap_limits
from mixedfast.inference.intervals.profile import LikelihoodProfile
from mixedfast.report.plots import data, draw
from mixedfast.report.plots.canvas import NewFigure, axes_for, key_above, on_screen
from mixedfast.report.plots.row_plots import PANEL, RowPictures, height

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mixedfast.report.protocols import MixedModel

    OnAxes = Axes | Sequence[Axes] | None

__all__ = ["Plots", "plot_bootstrap", "plot_profile"]

#: Width and height in inches of one of many panels.
_SMALL = (3.1, 2.6)
#: Most rows drawn as points behind lines.
_BEHIND = 3000


class Plots(RowPictures):
    """The pictures of a fitted model; each method draws one and returns matplotlib axes.

    Every method takes ``ax=``: axes to draw on, one per panel. Without it a new figure is made.

    Parameters
    ----------
    m : LMMResult
    new_figure : callable
        (width, height) in inches -> a matplotlib figure.

    Raises
    ------
    MissingLibraryError
        By every method but `data`, when matplotlib is not installed.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> m.plot.residuals().get_xlabel()
    'Fitted Reaction'
    """

    _DATA: ClassVar[dict[str, Callable[..., pd.DataFrame]]] = {
        **RowPictures._DATA,
        "qq": data.qq,
        "caterpillar": data.caterpillar,
        "shrinkage": data.shrinkage,
        "slopes": data.slopes,
        "profile_zeta": lambda m, profile=None: data.profile_zeta(
            m.profile() if profile is None else profile
        ),
        "bootstrap_densities": lambda m, bootstrap=None, n=1000, seed=None: (
            data.bootstrap_densities(m.bootstrap(n, seed=seed) if bootstrap is None else bootstrap)
        ),
    }

    _m: MixedModel

    def qq(self, what: str | None = None, ax: OnAxes = None) -> np.ndarray:
        """Compare the residuals and the random effects with a normal distribution.

        Parameters
        ----------
        what : str, optional
            ``"residuals"`` or a grouping factor; everything by default.
        ax : Axes or sequence of Axes, optional

        Returns
        -------
        ndarray of Axes
            One panel for the residuals and one for each random effect. The band contains 95 % of
            values, point by point, if they are independent and normal. Random effects of groups of
            unequal size are so only approximately.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> len(m.plot.qq())
        3
        """
        panels: list[tuple[str, str, pd.DataFrame]] = []
        if what in (None, "residuals"):
            panels.append(("Residuals", "Scaled residual", data.qq(self._m)))
        if what != "residuals":
            for group in self._m.n_groups if what is None else [what]:
                for term, part in data.qq(self._m, group).groupby("term", sort=False):
                    panels.append((f"{term} by {group}", "Deviation from average", part))
        return self._quantiles(panels, ax)

    # -- groups ------------------------------------------------------------------------------------

    def caterpillar(
        self, group: str | None = None, level: float = 0.95, ax: OnAxes = None
    ) -> np.ndarray:
        """Draw the conditional modes of the random effects with intervals, sorted.

        Parameters
        ----------
        group : str, optional
            All grouping factors by default.
        level : float
            Of the intervals, which treat beta and theta as known.
        ax : Axes or sequence of Axes, optional

        Returns
        -------
        ndarray of Axes
            One panel for each random effect. Few levels are labelled with their names, and have the
            same order in all panels; very many become a band.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> len(m.plot.caterpillar())
        2
        """
        panels = []
        for name in self._m.n_groups if group is None else [group]:
            frame = data.caterpillar(self._m, name, level)
            parts = dict(iter(frame.groupby("term", sort=False)))
            first = str(next(iter(parts)))
            for term, part in parts.items():
                shares = len(parts) > 1 and len(part) <= draw.LABELLED
                shown = (
                    part.set_index("level").loc[parts[first]["level"]].reset_index()
                    if shares
                    else part
                )
                panels.append((name, str(term), shown))
        tallest = max(
            (len(frame) for _, _, frame in panels if len(frame) <= draw.LABELLED), default=0
        )
        axes = self._axes(len(panels), ax, (PANEL[0], height(tallest)))
        for one, (name, term, frame) in zip(axes, panels, strict=True):
            draw.caterpillar(one, frame, name, term, level, "sorted by effect")
        return axes

    def shrinkage(
        self, group: str | None = None, terms: tuple[str, str] | None = None, ax: OnAxes = None
    ) -> Axes:
        """Compare the estimate from each group's own rows with the estimate of the model.

        Parameters
        ----------
        group : str, optional
            The grouping factor with most levels by default.
        terms : (str, str), optional
            The two random effects of the axes; the first two by default. With one effect only, the
            picture shows the estimate of the model against the group's own.
        ax : Axes, optional

        Returns
        -------
        Axes

        Raises
        ------
        DataError
            For terms that are not two of the factor's effects, or when no level has enough rows for
            estimates of its own.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.plot.shrinkage().get_xlabel()
        'Intercept by Subject'
        """
        name = data.group_name(self._m, group)
        frame = data.shrinkage(self._m, name)
        names = frame["term"].drop_duplicates().tolist()
        chosen = tuple(terms or names[:2])
        if len(set(chosen)) != len(chosen) or len(chosen) > 2 or not set(chosen) <= set(names):
            raise DataError(f"shrinkage(terms={terms!r}): give two of {', '.join(names)}")
        center = [float(self._m.params.get(term, 0.0)) for term in chosen]
        known = frame[frame["own"].notna()]
        if known.empty:
            raise DataError(
                f"shrinkage: no level of {name} has enough rows to estimate its effects from them "
                "alone"
            )
        axes = self._axes(1, ax, (5.8, 5.0))
        if len(chosen) == 1:
            draw.shrinkage_single(axes[0], known, name, chosen[0], center[0])
            return axes[0]
        sides = [
            known[known["term"] == term].set_index("level")[["own", "shrunken"]] for term in chosen
        ]
        wide = sides[0].add_suffix("_x").join(sides[1].add_suffix("_y"))
        draw.shrinkage_plane(axes[0], wide, name, (chosen[0], chosen[1]), (center[0], center[1]))
        return axes[0]

    def slopes(
        self, x: str | None = None, group: str | None = None, most: int = 300, ax: OnAxes = None
    ) -> Axes:
        """Draw the fitted line of each group over its own range of x, and of the average group.

        Parameters
        ----------
        x : str, optional
            A numeric predictor; by default one whose slope varies between groups, else the first.
        group : str, optional
            The grouping factor with most levels by default.
        most : int
            Most lines.
        ax : Axes, optional

        Returns
        -------
        Axes

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.plot.slopes("Days").get_xlabel()
        'Days'
        """
        name = data.group_name(self._m, group)
        variable = data.slope_variable(self._m, x, name)
        lines = data.slopes(self._m, variable, name, most)
        behind = data.points_behind(self._m, variable, _BEHIND)
        axes = self._axes(1, ax, (6.4, 5.0))
        words = (variable, self._response, name)
        draw.slopes(
            axes[0],
            lines,
            data.population_line(self._m, variable, name),
            behind,
            words,
            self._m.n_groups[name],
        )
        return axes[0]

    # -- parameters --------------------------------------------------------------------------------

    def profile_zeta(
        self, profile: LikelihoodProfile | None = None, level: float = 0.95, ax: OnAxes = None
    ) -> np.ndarray:
        """Draw the likelihood profiles of all parameters; see ``Profile.plot``.

        Parameters
        ----------
        profile : Profile, optional
            From ``m.profile()``; computed now unless given.
        level : float
        ax : sequence of Axes, optional

        Returns
        -------
        ndarray of Axes

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> len(m.plot.profile_zeta(m.profile(["sigma"])))
        1
        """
        return plot_profile(
            self._m.profile() if profile is None else profile, level, ax, self._new_figure
        )

    def bootstrap_densities(
        self,
        bootstrap: Replicates | None = None,
        n: int = 1000,
        seed: int | None = None,
        level: float = 0.95,
        ax: OnAxes = None,
    ) -> np.ndarray:
        """Draw the distributions of bootstrap replicates; see ``Bootstrap.plot``.

        Parameters
        ----------
        bootstrap : Bootstrap, optional
            From ``m.bootstrap()``; computed now with `n` and `seed` unless given.
        n, seed, level, ax

        Returns
        -------
        ndarray of Axes

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> len(m.plot.bootstrap_densities(m.bootstrap(20, seed=1)))
        6
        """
        found = self._m.bootstrap(n, seed=seed) if bootstrap is None else bootstrap
        return plot_bootstrap(found, level, ax, self._new_figure)


def plot_profile(
    profile: LikelihoodProfile, level: float, ax: OnAxes, new_figure: NewFigure = on_screen
) -> np.ndarray:
    """Draw one panel of zeta for each parameter profiled."""
    frame = data.profile_zeta(profile)
    names = list(profile.traces)
    axes = axes_for(len(names), ax, _SMALL, new_figure)
    for one, name in zip(axes, names, strict=True):
        draw.profile_zeta(
            one, frame[frame["parameter"] == name], name, profile.estimates[name], level
        )
    for one in axes[:: _columns(axes)]:
        one.set_ylabel("zeta")
    if ax is None:
        key_above(axes)
    return axes


def plot_bootstrap(
    boot: Replicates, level: float, ax: OnAxes, new_figure: NewFigure = on_screen
) -> np.ndarray:
    """Draw a histogram of the replicates of each parameter."""
    frame = data.bootstrap_densities(boot)
    ends = bootstrap_limits(boot, level)
    axes = axes_for(len(boot.names), ax, _SMALL, new_figure)
    for i, (one, name) in enumerate(zip(axes, boot.names, strict=True)):
        low, high = ends[i].tolist()
        draw.bootstrap_density(
            one,
            frame[frame["parameter"] == name],
            name,
            float(boot.estimates[i]),
            (low, high),
            level,
        )
    if ax is None:
        key_above(axes)
    return axes


def _columns(axes: np.ndarray) -> int:
    """Count the columns of the grid of axes, to label its left edge only."""
    spec = axes[0].get_subplotspec()
    return 1 if spec is None else int(spec.get_gridspec().ncols)
