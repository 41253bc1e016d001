"""Predictions and simulated responses of a mixed model, and fitted values of streamed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from mixedfast._progress import Show
from mixedfast.errors import DataError
from mixedfast.results.augment_stream import augment_to, stream_of
from mixedfast.results.row_methods import RowMethods

if TYPE_CHECKING:
    import numpy as np

    from mixedfast.estimation.fit import Fit
    from mixedfast.inference.ddf.methods import DDF

__all__ = ["NewRows"]


class NewRows(RowMethods):
    """Methods of a mixed model for new rows and for streams of rows."""

    _fit: Fit

    def predict(
        self,
        newdata: Any = None,
        re: Any = True,
        allow_new_levels: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        se: bool = False,
        weights: Any = None,
        ddf: DDF = "asymptotic",
        offset: Any = None,
    ) -> Any:
        """Predict the response, for the rows used or for new ones.

        Parameters
        ----------
        newdata : data frame or mapping of arrays, optional
            Default: the rows used. Only columns that the prediction needs must be there; the
            response need not.
        re : bool, str or list of str
            Random effects to add: True (all), False (none: the population mean), or those named, as
            a formula ``"(1 | school)"`` or as grouping factors ``["school"]``.
        allow_new_levels : bool
            Predict groups that are not in the fit (or are missing) with random effects of zero;
            their uncertainty is the whole variance of the effects.
        interval : {None, "confidence", "prediction"}
            Limits for the mean x'beta + z'b, or for a new observation.
        level : float
            Of the interval.
        se : bool
            Return a table with standard errors even without an interval.
        weights : str or (n,) array, optional
            Of the new observations of a prediction interval: their residual variance is
            sigma^2 / weight. Default: the column of the fit's weights, for the rows used their own
            weights; 1 for a fit without weights.
        ddf : str or TraceMethod
            Take limits from t distributions with these degrees of freedom: ``"satterthwaite"`` for
            any prediction; other methods of `coef_table` for confidence intervals of the population
            mean (``re=False``), which are contrasts. The default takes the normal distribution, as
            if the variances were known.
        offset : str or (n,) array, optional
            Of the new rows. Default: the column of the fit's offset; needed when that was an array.

        Returns
        -------
        (n,) array, or table
            With `interval` or `se` a table ``fit, se`` (and ``df`` unless `ddf` is "asymptotic")
            and, with `interval`, ``lower, upper``; in the library of `newdata` and, in pandas, with
            its index. Rows with a missing value are NaN.

        Raises
        ------
        ArgumentError
            For an unknown interval or level.
        DataError
            Names the column that is missing, or the level that is not in the fit; or weights or an
            offset are needed and not given.
        NotDefinedError
            When the df method is unknown or not defined for such predictions.

        Notes
        -----
        ``se`` is the standard error of x'beta^ + z'b^ as a prediction of x'beta + z'b: exact, from
        the joint covariance of beta^ and b^ - b given theta (Henderson 1975, Biometrics 31). A
        prediction interval adds the residual variance, and the variance of random effects that `re`
        leaves out, for a new observation has them too. Satterthwaite's df are those of that whole
        variance: 2 f^2 / (g'Ag), f the variance, g its gradient in the variance components and A
        their covariance.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.predict({"Days": [9, 10], "Subject": ["308", "308"]}).round(1)
        array([430.7, 450.3])
        >>> m.predict({"Days": [10]}, re=False, interval="confidence").round(1)
             fit    se  lower  upper
        0  356.1  16.0  324.7  387.5
        >>> m.predict({"Days": [10]}, re=False, interval="confidence", ddf="satterthwaite").round(1)
             fit    se    df  lower  upper
        0  356.1  16.0  17.0  322.3  389.9
        """
        return self._predict(
            newdata, re, allow_new_levels, interval, level, se, weights, ddf, offset
        )

    def simulate(
        self,
        n: int = 1,
        seed: int | None = None,
        re: str | Sequence[str] = "new",
        newdata: Any = None,
        allow_new_levels: bool = False,
        weights: Any = None,
        offset: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Draw responses from the fitted model, for the rows used or for new ones.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers, and the first draws of a longer run are those of a
            shorter one.
        re : {"new", "kept"}, str or list of str
            New random effects in every draw, or those of the fit. A formula ``"(1 | school)"`` or
            grouping factors ``["school"]`` keep these and draw the others (``re.form`` in lme4).
        newdata : data frame or mapping of arrays, optional
            Default: the rows used. The response need not be there.
        allow_new_levels : bool
            Where effects are kept: draw effects for groups that are not in the fit, instead of
            refusing them. Where effects are drawn, groups may always be new.
        weights : str or (rows,) array, optional
            Of the new rows: their residual variance is sigma^2 / weight. Default: the column of
            the fit's weights; 1 for a fit without weights.
        offset : str or (rows,) array, optional
            Of the new rows. Default: the column of the fit's offset; needed when that was an array.
        params : mapping, optional
            Other parameters than those estimated (``newparams`` in lme4): ``"beta"`` (array, or
            name -> value), ``"theta"`` (array in the order of `theta`), ``"sigma"``, or names of
            coefficients. What is not named keeps its estimate.

        Returns
        -------
        (rows, n) array
            NaN for new rows with a missing value.

        Raises
        ------
        ArgumentError
            When `re` keeps some of several correlated effects; when `params` has an unknown name or
            a wrong number of values, or is given where `re` keeps effects.
        DataError
            Names the column that is missing, or the level that is not in the fit; or weights or an
            offset are needed and not given.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.simulate(3, seed=1).shape
        (180, 3)
        >>> new = {"Days": [0, 5, 9], "Subject": ["somebody"] * 3}
        >>> m.simulate(1000, seed=1, newdata=new).mean(axis=1).round(-1)
        array([250., 300., 340.])
        >>> m.simulate(1000, 1, newdata=new, params={"Days": 0.0}).mean(axis=1).round(-1)
        array([250., 250., 250.])
        """
        kept = {"new": False, "kept": True}.get(re, re) if isinstance(re, str) else re
        return self._simulate(n, seed, kept, newdata, allow_new_levels, weights, offset, params)

    def augment_to(
        self,
        path: str | PathLike[str],
        columns: Sequence[str] = (),
        data: Any = None,
        leverage: bool = False,
        progress: Show = "auto",
    ) -> None:
        """Write all complete rows with fitted values and residuals to Parquet, batch by batch.

        Parameters
        ----------
        path : str or path
            Parquet, zstd. Written to a temporary file beside it, which is renamed when complete.
        columns : sequence of str
            Columns of the data to write besides those of the model, such as an identifier.
        data : path, glob, data frame, iterable of Arrow batches, optional
            The rows. Default: the rows the model was fitted to. A result from `load` or of a lazy
            frame has none and needs this.
        leverage : bool
            Write ``.hat`` and ``.cooksd`` too (see `hatvalues`, `cooks_distance`).
        progress : {"auto", True, False}

        Raises
        ------
        DataError
            When there is neither a stream nor `data`, the data have levels that are not in the fit,
            or weights were an array.

        Notes
        -----
        The file holds ``.fitted``, ``.resid``, ``.fixed`` (without random effects) and the columns
        of the model, in the order of the rows.

        Examples
        --------
        >>> import mixedfast as mf
        >>> import pandas as pd
        >>> from tempfile import TemporaryDirectory
        >>> sleep = mf.load_dataset("sleepstudy")
        >>> with TemporaryDirectory() as folder:
        ...     sleep.to_parquet(f"{folder}/sleep.parquet")
        ...     m = mf.lmer("Reaction ~ Days + (Days | Subject)", f"{folder}/sleep.parquet")
        ...     m.augment_to(f"{folder}/fitted.parquet")
        ...     pd.read_parquet(f"{folder}/fitted.parquet").columns.tolist()
        ['Reaction', 'Days', 'Subject', '.fitted', '.resid', '.fixed']
        """
        inputs = []
        if data is None and self._stream is None and self._call is not None:
            data = self._call.arguments.get("data")
            inputs = [] if self._call.path is None else [self._call.path]
        stream = self._stream if data is None else stream_of(self._fit, data)
        if stream is None:
            raise DataError("this result came without the rows of the data: give them as data=")
        augment_to(self._fit, stream, path, inputs, columns, leverage, progress)
