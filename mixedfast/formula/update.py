"""Update of a formula in the notation of R (``". ~ . + x"``).

As in ``update`` of R, ``.`` stands for the old response at the left of ``~`` and for the old right
side at the right of it. A term that is already there is not added again.
"""

from __future__ import annotations

import re

from mixedfast.errors import FormulaError
from mixedfast.formula.parser import lone_dots, split_sides
from mixedfast.formula.tokens import top_level

__all__ = ["update_formula"]

#: A sign and a term of a sum.
_Term = tuple[str, str]


def update_formula(old: str, new: str) -> str:
    """Write a formula in which dots stand for parts of an old one.

    Parameters
    ----------
    old, new : str
        `new` may begin with ``~`` to keep the response.

    Raises
    ------
    FormulaError
        When `new` cannot be read, or removes a term that is not there.

    Examples
    --------
    >>> update_formula("y ~ x + (x | g)", ". ~ . + z - (x | g) + (1 | g)")
    'y ~ x + z + (1 | g)'
    >>> update_formula("y ~ x + (1 | g)", "log(.) ~ . * z")
    'log(y) ~ (x) * z + (1 | g)'
    >>> update_formula("y ~ x + z + (1 | g)", "~ . - x")
    'y ~ z + (1 | g)'
    """
    if not isinstance(new, str):
        raise FormulaError(f"a formula is a string such as '. ~ . + x', not {type(new).__name__}")
    old_left, old_right = split_sides(old)
    left, right = split_sides(f". {new}" if new.lstrip().startswith("~") else new)
    terms = _signed(old_right)
    out: list[_Term] = []
    for sign, text in _signed(right):
        if text == ".":
            for term in terms:
                _put(out, *term)
        elif lone_dots(text):
            fixed = [term for term in terms if not _is_special(term[1])]
            _put(out, sign, _with_dots(text, f"({_joined(fixed)})"))
            for term in terms:
                if _is_special(term[1]):
                    _put(out, *term)
        else:
            _put(out, sign, text)
    return f"{_with_dots(left, old_left)} ~ {_joined(out)}"


def _put(out: list[_Term], sign: str, text: str) -> None:
    """Add a term to a sum, or remove it, in place."""
    name = _key(text)
    there = [i for i, (_, other) in enumerate(out) if _key(other) == name]
    opposite = [i for i in there if out[i][0] != sign]
    if opposite:
        for i in reversed(opposite):
            del out[i]
        if sign == "-" and name == "1":  # without "- 1" the intercept would be there
            out.append((sign, text))
        return
    if there:
        return
    if sign == "-" and _is_special(text):
        known = ", ".join(other for _, other in out if _is_special(other)) or "none"
        raise FormulaError(
            f"{text} is not in the formula and cannot be removed (random and offset terms: {known})"
        )
    if sign == "-" and name != "1" and not _is_among(text, [other for _, other in out]):
        known = ", ".join(other for _, other in out if not _is_special(other)) or "none"
        raise FormulaError(
            f"{text} is not in the formula and cannot be removed (fixed terms: {known})"
        )
    out.append((sign, text))


def _is_among(text: str, terms: list[str]) -> bool:
    """Return whether a fixed term may be part of others: ``a:b`` of ``a * b``, any of ``.``."""
    fixed = [term for term in terms if not _is_special(term)]
    if all(re.fullmatch(r"[^\W\d][\w.]*|1", term.strip("`")) for term in fixed) and ":" in text:
        return False
    names = re.compile(r"`[^`]*`|[^\W\d][\w.]*")
    known = {name for term in fixed for name in names.findall(term)}
    return any(lone_dots(term) for term in fixed) or known.issuperset(names.findall(text))


def _key(text: str) -> str:
    """Return a key that is equal for notations of one term: ``a:b``, ``b:a``; ``(1 + x | g)``."""
    bare = re.sub(r"\s", "", text)
    if re.fullmatch(r"[\w.:]+", bare):
        return ":".join(sorted(bare.split(":")))
    return re.sub(r"^\(1\+(.*\|)", r"(\1", bare)


def _is_special(text: str) -> bool:
    """Return whether a term is a random term or an offset."""
    return text.startswith("offset(") or (
        text.startswith("(") and any(text[1 + i] == "|" for i in top_level(text[1:-1]))
    )


def _signed(text: str) -> list[_Term]:
    """Return the terms of a sum with their signs."""
    out: list[_Term] = []
    sign, start = "+", 0
    marks = [i for i in top_level(text) if text[i] in "+-"]
    for at in [*marks, len(text)]:
        part = text[start:at].strip()
        if part == "0":
            out.append(("-" if sign == "+" else "+", "1"))
        elif part:
            out.append((sign, part))
        elif at == len(text):
            raise FormulaError(f"a sum in the formula ends with a sign: {text!r}")
        if at < len(text):
            sign = text[at] if part or sign == "+" else ("-" if text[at] == "+" else "+")
        start = at + 1
    return out


def _joined(terms: list[_Term]) -> str:
    if not terms:
        return "1"
    (sign, first), *rest = terms
    return " ".join(
        [
            first if sign == "+" else f"1 - {first}" if first != "1" else "0",
            *(f"{s} {t}" for s, t in rest),
        ]
    )


def _with_dots(text: str, meaning: str) -> str:
    for at in reversed(lone_dots(text)):
        text = text[:at] + meaning + text[at + 1 :]
    return text
