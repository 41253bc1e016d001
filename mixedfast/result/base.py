"""What every group of methods of a result reads: the fit, and the rows when there are any."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING

from mixedfast.errors import DataError

if TYPE_CHECKING:
    from typing import Self

    from mixedfast.design import Design
    from mixedfast.fitting import Fit
    from mixedfast.stream import Stream

__all__ = ["Fitted"]


class Fitted:
    """A fit and, unless it came from cross-products, the rows it was made from: a design, or a stream to read again."""

    def __init__(self, fit: Fit, design: Design | None = None, stream: Stream | None = None) -> None:
        self._fit = fit
        self._design = design
        self._stream = stream
        #: What tables are given as: "pandas", "polars" or "pyarrow", as the data came in. May be set.
        self.library = fit.cp.meta.library

    @property
    def is_streamed(self) -> bool:
        """Whether the rows are read again from where they lie instead of from memory."""
        return self._stream is not None

    def _in_pandas(self) -> Self:
        """The same result with pandas tables, for rooms that read them."""
        if self.library == "pandas":
            return self
        same = copy(self)
        same.library = "pandas"
        return same

    def _designs(self, what: str) -> Iterator[Design]:
        """The rows, all at once from memory or batch by batch from a stream."""
        if self._stream is None:
            yield self._rows(what)
        else:
            yield from (design for design, _ in self._stream.designs())

    def _rows(self, what: str) -> Design:
        if self._design is None and self._stream is not None:
            raise DataError(
                f"{what} needs all rows in memory, and this result was made from a stream; augment_to(path) writes fitted "
                "values, residuals and leverage batch by batch"
            )
        if self._design is None:
            raise DataError(f"{what} needs the rows of the data, and this result was made without them")
        return self._design
