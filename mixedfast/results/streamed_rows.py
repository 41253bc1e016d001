"""What a result can do for rows that are not in memory."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from mixedfast._progress import Show
from mixedfast.errors import DataError
from mixedfast.inference.prediction.augment_stream import augment_to, stream_of
from mixedfast.results.base import Fitted

__all__ = ["StreamMethods"]


class StreamMethods(Fitted):
    """Methods that read a stream of rows again, and write one."""

    def augment_to(
        self,
        path: str | PathLike[str],
        columns: Sequence[str] = (),
        data: Any = None,
        leverage: bool = False,
        progress: Show = "auto",
    ) -> None:
        """Write every complete row with its fitted value and residual to a Parquet file, batch by batch.

        Parameters
        ----------
        path : str or path
            Parquet, zstd. Written beside its place and moved there when complete.
        columns : sequence of str
            Columns of the data to write besides those of the model (an identifier, say).
        data : path, glob, data frame, iterable of Arrow batches, optional
            The rows; default: the stream the model was fitted to. A result from `load` or of a lazy frame has none and needs
            this.
        leverage : bool
            Write ``.hat`` and ``.cooksd`` too (see `hatvalues`, `cooks_distance`).
        progress : {"auto", True, False}

        Raises
        ------
        DataError
            When there is neither a stream nor `data`, the data have levels the fit never saw, or weights were an array.

        Notes
        -----
        ``.fitted``, ``.resid``, ``.fixed`` (without random effects) and the columns the model read, in the order of the rows.

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
        stream = self._stream if data is None else stream_of(self._fit, data)
        if stream is None:
            raise DataError("this result was not made from a stream: give the rows as data=")
        augment_to(self._fit, stream, path, columns, leverage, progress)
