"""The random effects that a prediction uses: all, none, or those named (lme4's ``re.form``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast._validation import did_you_mean
from mixedfast.crossprod.types import CrossProducts
from mixedfast.errors import DataError
from mixedfast.formula.parser import parse

__all__ = ["chosen_effects"]


def chosen_effects(cp: CrossProducts, re: Any) -> list[np.ndarray]:
    """Return a (K,) bool array for each grouping factor: the effects that `re` selects.

    Parameters
    ----------
    cp : CrossProducts
    re : bool, str, or list of str
        True: all; False or ``"~0"``: none; ``"(1 | school)"`` (several with ``+``), ``"school"``
        (all effects of that factor), or a list of such.

    Raises
    ------
    DataError
        When the model does not have the effect.
    FormulaError
        When a formula cannot be read.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> chosen_effects(cp, "(1 | Subject)")
    [array([ True, False])]
    """
    if isinstance(re, (bool, np.bool_)):
        return [np.full(group.k, bool(re)) for group in cp.groups]
    wanted = [re] if isinstance(re, str) else re
    if not isinstance(wanted, (list, tuple)) or not all(isinstance(text, str) for text in wanted):
        raise DataError(
            f"re={re!r}: True, False, a formula such as '(1 | school)', or a list of grouping "
            "factors"
        )
    out = [np.zeros(group.k, dtype=bool) for group in cp.groups]
    for text in (text.strip().removeprefix("~").strip() for text in wanted):
        if text == "0":
            continue
        if "|" not in text:
            out[_group(cp, text)][:] = True
            continue
        for term in parse(f"y ~ {text}").random:
            g = _group(cp, term.group)
            out[g] |= _effects(cp, g, term.expr)
    return out


def _group(cp: CrossProducts, name: str) -> int:
    """Return the position of a grouping factor by its label; ``a:b`` and ``b:a`` are the same."""
    parts = sorted(part.strip() for part in name.split(":"))
    for g, group in enumerate(cp.groups):
        if sorted(group.name.split(":")) == parts:
            return g
    known = [g.name for g in cp.groups]
    hint = did_you_mean(name, known)
    raise DataError(
        f"re names {name!r}: {hint + ' T' if hint else 't'}he model's grouping factors are "
        f"{', '.join(known)}"
    )


def _effects(cp: CrossProducts, g: int, expr: str) -> np.ndarray:
    """Return the columns of Z on the left side of a bar, with the intercept unless removed."""
    names = cp.groups[g].names
    parts = [part.strip() for part in expr.split("+")]
    wanted = [part for part in parts if part not in ("0", "1")]
    if "0" not in parts:
        wanted.append("Intercept")
    out = np.zeros(len(names), dtype=bool)
    for part in wanted:
        hit = np.array([name == part or name.startswith(f"{part}[") for name in names])
        if not hit.any():
            raise DataError(
                f"re selects {part!r} by {cp.groups[g].name}, whose random effects are "
                f"{', '.join(names)}"
            )
        out |= hit
    return out
