"""Tables and files of a result of any kind. The report rooms are imported when they are needed."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfast.data.frames import as_table
from mixedfast.data.frames_out import apart, beside, returns_callers_tables
from mixedfast.data.whole_file import write_text
from mixedfast.results.fixed_effects import FixedPart

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.report.protocols import Model

__all__ = ["Display", "written"]


class Display(FixedPart):
    """Plain tables of a result, as in broom (R)."""

    @returns_callers_tables
    def glance(self) -> pd.DataFrame:
        """Summarize the model in one row, to compare models by.

        Returns
        -------
        DataFrame
            ``nobs, sigma, loglik, aic, bic, criterion, reml, df_model, df_residual`` and, for a
            mixed model, ``icc, r2_marginal, r2_conditional, converged, singular``; for a regression
            ``r2, r2_adjusted, f_value, p_value``, with n - p as ``df_residual``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.glance()[["nobs", "aic", "converged"]].round(2)
           nobs      aic  converged
        0   180  1755.63       True
        """
        import pandas as pd

        names = ("nobs", "sigma", "loglik", "aic", "bic", "criterion", "reml", "df_model")
        return pd.DataFrame([{**{name: getattr(self, name) for name in names}, **self._measures()}])

    # What tables of the maketables package read of a model (https://py-econometrics.github.io).

    @property
    def __maketables_coef_table__(self: Model) -> pd.DataFrame:
        from mixedfast.report.model_table import maketables_coefficients

        return maketables_coefficients(self)

    @property
    def __maketables_depvar__(self: Model) -> str:
        return self.formula.split("~")[0].strip()

    def __maketables_stat__(self: Model, key: str) -> float | None:
        from mixedfast.report.model_table import fit_statistics

        found = fit_statistics(self)
        return found[key][1] if key in found else None

    @property
    def __maketables_stat_labels__(self: Model) -> dict[str, str]:
        from mixedfast.report.model_table import fit_statistics

        return {key: label for key, (label, _) in fit_statistics(self).items()}

    @property
    def __maketables_default_stat_keys__(self: Model) -> list[str]:
        from mixedfast.report.model_table import fit_statistics

        return [key for key in fit_statistics(self) if key not in ("loglik", "bic")]

    @abstractmethod
    def _measures(self) -> dict[str, float]:
        """Compute the columns of `glance` that only this kind of model has."""

    @returns_callers_tables
    def augment(self: Model, data: Any = None) -> pd.DataFrame:
        """Return one row per row of the data used, with its fitted value, residual and leverage.

        Parameters
        ----------
        data : data frame, optional
            The table the model was fitted to: all its columns are kept, also those the model does
            not use. Without it, the variables of the model.

        Returns
        -------
        DataFrame
            The variables and ``.fitted``, ``.resid``, ``.hat`` (leverage), ``.cooksd`` (Cook's
            distance); for a mixed model ``.fixed`` (the fixed part alone) and ``.mu`` (the
            conditional mean, which is ``.fitted`` in a linear model); ``.offset`` and ``.weights``
            if there are any; such a name has one more dot where `data` have a column of that name.
            Rows left out for missing values are not in it. The index is that of the data; where the
            data have none, the column ``.row`` has the place of each row, counted from 0.

        Raises
        ------
        DataError
            When the result holds no rows and `data` are not given, or `data` do not have the rows
            of the fit in their order.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.augment().head(2).round(2)[["Reaction", "Days", "Subject", ".fitted", ".resid"]]
             Reaction  Days Subject  .fitted  .resid
        0      249.56     0     308   253.66   -4.10
        1      258.70     1     308   273.33  -14.63
        """
        from mixedfast.report.tidy import model_frame, row_columns

        if data is None:
            frame, added = model_frame(self), row_columns(self)
            names = apart(added, frame.columns)
            return frame.assign(**dict(zip(names, added.values(), strict=True)))
        m = self._with_rows("augment(data)", data)
        added = row_columns(m)
        names = apart(added, as_table(data).names)
        kept_rows = m._rows("augment").kept_rows
        return beside(data, kept_rows, dict(zip(names, added.values(), strict=True)))


def written(page: str, path: Path | None) -> str | None:
    """Write a page to a file, whole or not at all; without a path, return it."""
    if path is None:
        return page
    write_text("to_html", path, page)
    return None
