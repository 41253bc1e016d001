"""`LMMResult`: a fitted model in the user's words. Methods only orchestrate; numbers happen in the rooms below."""

from __future__ import annotations

from mixedfast.results.display import Shown
from mixedfast.results.hypothesis_tests import Tests
from mixedfast.results.refit import Again
from mixedfast.results.row_methods import RowMethods
from mixedfast.results.streamed_rows import StreamMethods

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
