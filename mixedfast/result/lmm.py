"""`LMMResult`: a fitted model in the user's words. Methods only orchestrate; numbers happen in the rooms below."""

from __future__ import annotations

from os import PathLike
from typing import Any

from mixedfast.result.again import Again
from mixedfast.result.rows import RowMethods
from mixedfast.result.shown import Shown
from mixedfast.result.streams import StreamMethods
from mixedfast.result.tests import Tests
from mixedfast.storage import save

__all__ = ["LMMResult"]


class LMMResult(Again, Tests, RowMethods, StreamMethods, Shown):
    """A fitted linear mixed model.

    Made by `mixedfast.lmer` (from a table) or `mixedfast.fit` (from cross-products). Pickles and files hold no rows
    until ``keep_rows`` is set to True.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> m.params.round(4).to_dict()
    {'Intercept': 251.4051, 'Days': 10.4673}
    >>> round(m.criterion, 4)
    1743.6283
    """

    def __repr__(self) -> str:
        kind = "REML" if self.reml else "ML"
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        return f"<LMMResult {self.formula}; {kind}; {self.nobs} rows; groups: {groups}; criterion {self.criterion:.4f}>"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file that `mixedfast.load` reads; no rows go with it unless ``keep_rows`` is set.

        The file is plain data: reading it runs no code.

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
        return {"fit": self._fit, "design": rows, "keep_rows": self.keep_rows, "library": self.library}

    @classmethod
    def __restore__(cls, fields: dict[str, Any]) -> LMMResult:
        result = cls(fields["fit"], fields["design"])
        result.keep_rows, result.library = fields["keep_rows"], fields["library"]
        return result
