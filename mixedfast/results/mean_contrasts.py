"""`MeanContrasts`: contrasts of marginal means as a table and a page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixedfast.data.frames_out import apart, returns_callers_tables
from mixedfast.inference.ddf.methods import boundary_note
from mixedfast.inference.hypotheses.mean_tests import GridContrasts, contrasts_equal
from mixedfast.report.means import ddf_note, means_page
from mixedfast.report.page import Page
from mixedfast.results.tabled import Tabled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MeanContrasts"]

_IN_WORDS = {
    "tukey": "Tukey",
    "dunnett": "Dunnett",
    "mvt": "multivariate t",
    "scheffe": "Scheffé",
    "holm": "Holm",
    "fdr": "false discovery rate (Benjamini and Hochberg)",
    "bonferroni": "Bonferroni",
    "sidak": "Šidák",
}


def _column(name: str) -> property:
    """Make a property that returns a column of statistics."""

    def of_table(contrasts: MeanContrasts) -> Any:
        return contrasts[contrasts._named()[name]]

    return property(of_table, doc=f"The column ``{name}`` of the table.")


@dataclass(frozen=True, eq=False, repr=False)
class MeanContrasts(GridContrasts, Tabled):
    """Contrasts of marginal means; made by ``m.emmeans(...).contrast()``.

    ``to_frame()`` has one row per contrast: ``contrast``, the variables of ``by``, then ``estimate,
    std_error, df, statistic, p_value, conf_low, conf_high``; ``ratio`` in the place of ``estimate``
    on the response scale of a logarithm. Columns are ``result["contrast"]``, and those of
    statistics also ``result.p_value``.

    Parameters
    ----------
    means : GridMeans
    labels : tuple of str, length c
    groups : tuple of tuple
        One per contrast: the values of ``by``.
    weights : (c, m) array
    tests : dict of str to (c,) array
    adjust : str
        How p values and intervals allow for the number of contrasts in a family.
    family : {"by", "all"}
    error : float
        The largest standard error of p values by quasi-Monte Carlo; zero where they are exact.
    library : {"pandas", "polars", "pyarrow"}
        The data-frame library of the tables.

    Examples
    --------
    >>> import mixedfast as mf
    >>> formula = "angle ~ recipe + temperature + (1 | recipe:replicate)"
    >>> means = mf.lmer(formula, mf.load_dataset("cake")).emmeans("recipe")
    >>> print(means.contrast("control"))
    contrast estimate Std. Error df t value Pr(>|t|) lower 95% upper 95%
    B - A      -1.478      2.456 42  -0.602   0.7730    -7.100     4.144
    C - A      -1.522      2.456 42  -0.620   0.7614    -7.144     4.100
    Satterthwaite's degrees of freedom; p values and intervals adjusted by Dunnett for 2 contrasts
    """

    library: str = "pandas"

    std_error = _column("std_error")
    df = _column("df")
    statistic = _column("statistic")
    p_value = _column("p_value")
    conf_low = _column("conf_low")
    conf_high = _column("conf_high")

    @property
    def estimate(self) -> Any:
        """The first column of statistics: ``estimate``, or ``ratio`` on the response scale."""
        return self[self._named()[next(iter(self.tests))]]

    def __getitem__(self, column: str) -> Any:
        """Return a column of the table."""
        return self.to_frame()[column]

    def __len__(self) -> int:
        """Return the number of contrasts."""
        return len(self.labels)

    @returns_callers_tables
    def joint(self) -> pd.DataFrame:
        """Test that all contrasts are zero, one row per level of ``by``, or one for all.

        Returns
        -------
        DataFrame
            The variables of ``by``, then ``num_df, den_df, f_value, p_value``; NaN when a contrast
            cannot be estimated.

        Examples
        --------
        >>> import mixedfast as mf
        >>> formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
        >>> m = mf.lmer(formula, mf.load_dataset("cake"))
        >>> means = m.emmeans(["recipe", "temperature"])
        >>> means.contrast("interaction").joint().round(3)[["num_df", "f_value"]].values.tolist()
        [[10.0, 1.006]]
        """
        import pandas as pd

        by = self.means.by if self.family == "by" else ()
        rows = [
            (*values, test.num_df, test.den_df, test.f_value, test.p_value)
            for values, test in contrasts_equal(self).items()
        ]
        statistics = apart(("num_df", "den_df", "f_value", "p_value"), by)
        return pd.DataFrame(rows, columns=[*by, *statistics])

    def summary(self) -> Page:
        """Lay out the contrasts as a page, with notes on the method.

        Returns
        -------
        Page
            With ``to_html()``, ``to_markdown()``, ``to_latex()`` and ``to_docx(path)``.
        """
        return means_page(self._table(), tuple(self.tests), self.means.level, tuple(self._notes()))

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        names = self._named()
        own = {name: [row[i] for row in self.groups] for i, name in enumerate(self.means.by)}
        numbers = {names[name]: values for name, values in self.tests.items()}
        return pd.DataFrame({names["contrast"]: list(self.labels)} | own | numbers)

    def _named(self) -> dict[str, str]:
        """Name the columns of labels and statistics apart from the variables."""
        own = ("contrast", *self.tests)
        return dict(zip(own, apart(own, (*self.means.specs, *self.means.by)), strict=True))

    def _notes(self) -> list[str]:
        """Describe df, adjustment and scale."""
        means = self.means
        notes = [ddf_note(means.ddf)]
        if self.adjust != "none":
            by = means.by and self.family == "by"
            within = f" within each level of {' and '.join(means.by)}" if by else ""
            counts = set(Counter(self.groups).values()) if by else {len(self.labels)}
            count = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "no"
            notes.append(
                f"p values and intervals adjusted by {_IN_WORDS[self.adjust]} for {count} "
                f"contrasts{within}"
            )
            if self.adjust in ("holm", "fdr"):
                notes.append("intervals by Bonferroni")
        if self.error > 0.0:
            notes.append(f"p values by quasi-Monte Carlo, standard error at most {self.error:.1g}")
        if means.transformation is not None:
            name = means.transformation.name
            if means.on_response and means.transformation.difference:
                notes.append(f"tests on the scale of {name}")
            else:
                notes.append(f"contrasts on the scale of {name}")
        return ["; ".join(notes), boundary_note(means.fit, means.ddf)]

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().to_html()
