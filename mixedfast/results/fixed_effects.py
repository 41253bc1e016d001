"""The fixed part of every result: the coefficients, their covariance, the rows they rest on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.data.storage import save
from mixedfast.inference.ddf.flat_directions import rest_on_flat
from mixedfast.results.base import Fitted

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

__all__ = ["STORED_FIELDS", "FixedPart"]

#: Fields of a saved result beside its fit.
STORED_FIELDS = {"design": "Design | None", "keep_rows": "bool", "library": "str"}


class FixedPart(Fitted, ABC):
    """Attributes that a mixed model and a regression by least squares have in common."""

    @property
    def formula(self) -> str:
        """The formula as it was given."""
        return self._fit.cp.meta.formula

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self._fit.cp.n

    @property
    def n_dropped(self) -> int:
        """Rows left out for missing values."""
        return self._fit.cp.meta.n_dropped

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """Columns of X that the columns before them determine; their coefficients are NaN."""
        kept = set(self._fit.cp.kept.tolist())
        return tuple(name for i, name in enumerate(self._fit.cp.meta.x_names) if i not in kept)

    @property
    def weights_used(self) -> bool:
        """Whether rows had weights."""
        return self._fit.cp.meta.weighted

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self._fit.sigma

    @property
    @abstractmethod
    def df_model(self) -> int:
        """Number of parameters."""

    @property
    def criterion(self) -> float:
        """Deviance, -2 log likelihood, at the estimates; of a REML fit the REML criterion."""
        return self._fit.deviance

    @property
    def loglik(self) -> float:
        """Log likelihood at its maximum; of a REML fit the restricted one."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Akaike's criterion, `criterion` + 2 `df_model`, as in lme4.

        Variances count as parameters.
        """
        return self.criterion + 2.0 * self.df_model

    @property
    def bic(self) -> float:
        """Schwarz's criterion, `criterion` + log(`nobs`) `df_model`, as in lme4.

        Variances count as parameters.
        """
        return self.criterion + float(np.log(self.nobs)) * self.df_model

    @property
    def params(self) -> pd.Series:
        """Coefficients, of a mixed model the fixed effects, (p,).

        NaN for columns that could not be identified.
        """
        return self._series(self._fit.beta)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`, (p,); NaN where a variance is not identified."""
        unknown = np.diag(rest_on_flat(self._fit, np.eye(self._fit.cp.p)))
        return self._series(np.where(unknown, np.nan, np.sqrt(np.diag(self._fit.vcov))))

    def _series(self, values: np.ndarray) -> pd.Series:
        """Label numbers of the identifiable columns; NaN for the others."""
        import pandas as pd

        out = np.full(len(self._fit.cp.meta.x_names), np.nan)
        out[self._fit.cp.kept] = values
        labels = _labels(self._fit.cp.meta.x_names)
        return pd.Series(out, index=labels.view())  # a view, so that its name is its own

    def _coefficient_matrix(self, values: np.ndarray) -> pd.DataFrame:
        """Label the rows and columns of a matrix of the identifiable columns."""
        import pandas as pd

        names = list(self._fit.cp.x_names)
        return pd.DataFrame(values, index=names, columns=names)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file that `mixedfast.load` reads.

        Without rows unless ``keep_rows`` is set. The file is plain data: reading it runs no code.

        Parameters
        ----------
        path : str or path

        Examples
        --------
        >>> import mixedfast as mf
        >>> from tempfile import TemporaryDirectory
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> with TemporaryDirectory() as folder:
        ...     m.save(f"{folder}/sleep")
        ...     mf.load(f"{folder}/sleep").params.round(2).to_dict()
        {'Intercept': 251.41, 'Days': 10.47}
        """
        save(self, path)

    def __store__(self) -> dict[str, Any]:
        rows = self._design if self.keep_rows else None
        return {
            "fit": self._fit,
            "design": rows,
            "keep_rows": self.keep_rows,
            "library": self.library,
        }

    @classmethod
    def __restore__(cls, fields: dict[str, Any]) -> Self:
        result = cls(fields["fit"], fields["design"])
        result.keep_rows, result.library = fields["keep_rows"], fields["library"]
        return result


@lru_cache(maxsize=64)
def _labels(names: tuple[str, ...]) -> pd.Index:
    """Make a pandas index of names, which takes longer than numbers of a few coefficients do."""
    import pandas as pd

    return pd.Index(names)
