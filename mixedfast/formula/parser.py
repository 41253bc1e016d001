"""Parser of lme4's formula language: random terms and the fixed part.

``parse`` needs no data. It separates the terms ``(expr | group)`` and ``offset()`` from the fixed
part, which formulaic reads; `mixedfast.design.build` makes the columns. The grammar of random terms
is that of Bates, Mächler, Bolker & Walker (2015, *Journal of Statistical Software* 67(1), section
2.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mixedfast._stored import stored
from mixedfast.errors import FormulaError
from mixedfast.formula.tokens import (
    check_characters,
    is_call,
    partners,
    python_parts,
    quoted,
    split,
    top_level,
)

__all__ = [
    "ModelSpec",
    "RandomTerm",
    "expand_dot",
    "lone_dots",
    "parse",
    "plain_name",
    "quote",
    "split_sides",
    "unquoted",
]

_NAME = re.compile(r"[^\W\d]\w*(?:\.\w+)*|\.[^\W\d]\w*")
#: Covariance structures of other programs.
_STRUCTURED = re.compile(r"\b(us|diag|cs|ar1)\s*\([^()|]*\|")
#: Placeholder of a random term or offset in the fixed part; it cannot occur in a formula.
_HOLE = "\0"


@stored("RandomTerm")
@dataclass(frozen=True)
class RandomTerm:
    """A random-effects term ``(expr | group)``, with nesting written out.

    Parameters
    ----------
    expr : str
        Left of the bar, in the grammar of formulaic: ``"1 + ses"``.
    group : str
        The grouping factor as lme4 labels it: ``"school"``, ``"cask:batch"``.
    correlated : bool
        False for the double bar ``||``.
    factors : tuple of str
        The columns whose combinations are the groups: ``("cask", "batch")``.

    Examples
    --------
    >>> parse("y ~ x + (1 | batch/cask)").random[0]
    RandomTerm(expr='1', group='cask:batch', correlated=True, factors=('cask', 'batch'))
    """

    expr: str
    group: str
    correlated: bool
    factors: tuple[str, ...]

    def __str__(self) -> str:
        return f"({self.expr} {'|' if self.correlated else '||'} {self.group})"


@stored("ModelSpec")
@dataclass(frozen=True)
class ModelSpec:
    """The parts of a formula.

    Parameters
    ----------
    formula : str
        The formula as given.
    response : str
        A column name, or an expression such as ``log(y)``.
    fixed : str
        The fixed part without random terms and offsets, in the grammar of formulaic.
    random : tuple of RandomTerm
        In the order of the formula; ``a/b`` gives two terms, the finer grouping first.
    offsets : tuple of str
        The expressions inside ``offset()``.

    Examples
    --------
    >>> spec = parse("log(y) ~ x + offset(z) + (x || g)")
    >>> spec.response, spec.fixed, spec.offsets
    ('log(y)', 'x', ('z',))
    """

    formula: str
    response: str
    fixed: str
    random: tuple[RandomTerm, ...]
    offsets: tuple[str, ...]


def parse(formula: str, require_random: bool = True) -> ModelSpec:
    """Parse a formula.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (1 + x | g)"``.
    require_random : bool
        Whether a formula without a random term is an error.

    Returns
    -------
    ModelSpec

    Raises
    ------
    FormulaError
        When the formula cannot be read. The message names the term and says how to write it.

    Examples
    --------
    >>> [str(term) for term in parse("y ~ x + (x || g) + (1 | a/b)").random]
    ['(x || g)', '(1 | b:a)', '(1 | a)']
    """
    if not isinstance(formula, str):
        raise FormulaError(
            f"a formula is a string such as 'y ~ x + (1 | g)', not {type(formula).__name__}: "
            "the formula is the first argument, the data are the second"
        )
    return _parse(formula, require_random)


@lru_cache(maxsize=256)
def _parse(formula: str, require_random: bool) -> ModelSpec:
    response, right = split_sides(formula)
    random_cuts = _random_cuts(right)
    cuts = sorted([*random_cuts, *_offset_cuts(right, random_cuts)])
    random: list[RandomTerm] = []
    offsets: list[str] = []
    for start, stop, is_offset in cuts:
        inside = right[start:stop]
        if is_offset:
            offsets.append(_offset_expression(inside))
        else:
            random.extend(_random_terms(inside))
    _check_distinct_terms(random)
    if require_random and not random:
        structured = _STRUCTURED.search(right)
        if structured:
            raise FormulaError(
                f"{structured.group(1)}(...) in {formula!r} is not supported: write (x | g) for an "
                "unstructured covariance matrix, (x || g) for a diagonal one"
            )
        raise FormulaError(
            f"no random term in {formula!r}: for ordinary regression use mf.lm, "
            "or add a term such as (1 | group)"
        )
    fixed = _close_holes(_punch(right, [(a, b) for a, b, _ in cuts]))
    return ModelSpec(
        formula.strip(), _translate(response), _translate(fixed), tuple(random), tuple(offsets)
    )


def expand_dot(fixed: str, names: tuple[str, ...]) -> str:
    """Replace a single ``.`` in the fixed part by the sum of the given columns.

    Raises
    ------
    FormulaError
        When there is a dot but no other column.

    Examples
    --------
    >>> expand_dot(". + a:b", ("a", "b", "my var"))
    '(a + b + `my var`) + a:b'
    """
    dots = lone_dots(fixed)
    if not dots:
        return fixed
    if not names:
        raise FormulaError("'.' stands for all other columns, and the data have no other columns")
    total = "(" + " + ".join(quote(name) for name in names) + ")"
    for at in reversed(dots):
        fixed = fixed[:at] + total + fixed[at + 1 :]
    return fixed


def lone_dots(text: str) -> list[int]:
    """Return the positions of dots that are not part of a name, a number or a quoted text."""
    hidden = quoted(text)
    return [m.start() for m in re.finditer(r"(?<![\w.])\.(?![\w.])", text) if not hidden[m.start()]]


def plain_name(expr: str) -> str | None:
    """Return the column that an expression names, or None when it is not just a name.

    Examples
    --------
    >>> plain_name("ses"), plain_name("`my var`"), plain_name("log(ses)")
    ('ses', 'my var', None)
    """
    expr = expr.strip()
    if _NAME.fullmatch(expr):
        return expr
    if len(expr) > 2 and expr[0] == expr[-1] == "`" and "`" not in expr[1:-1]:
        return expr[1:-1]
    return None


def quote(name: str) -> str:
    """Write a column name for a formula: in backticks unless it is an identifier.

    Raises
    ------
    FormulaError
        When the name contains a backtick.
    """
    if "`" in name:
        raise FormulaError(
            f"the name of column {name!r} contains a backtick, which formulas use to quote names: "
            "rename the column"
        )
    return name if _NAME.fullmatch(name) else f"`{name}`"


# --- the two sides, and the terms cut out of the right one -------------------------------------


def unquoted(text: str) -> str:
    """Remove the backticks around names, which names themselves cannot contain.

    Examples
    --------
    >>> unquoted("`age (years)` = 1")
    'age (years) = 1'
    """
    return text.replace("`", "")


def split_sides(formula: str) -> tuple[str, str]:
    """Split a formula into its response and its right side; neither may be empty."""
    if _HOLE in formula:
        raise FormulaError("the formula contains a null character")
    check_characters(formula)
    parts = split(formula, "~")
    if len(parts) != 2:
        what = "no '~'" if len(parts) == 1 else "more than one '~'"
        raise FormulaError(f"{what} in {formula!r}: write response ~ predictors + (1 | group)")
    response, right = parts[0].strip(), parts[1].strip()
    if not response:
        raise FormulaError(
            f"no response before '~' in {formula!r}: write the column of the outcome there"
        )
    if not right:
        raise FormulaError(f"nothing after '~' in {formula!r}: write at least 1, the intercept")
    return response, right


def _random_cuts(right: str) -> list[tuple[int, int, bool]]:
    """Find the parentheses with a bar, except those in the arguments of functions."""
    partner = partners(right)
    if any(right[i] == "|" for i in top_level(right)):
        raise FormulaError(f"a random term needs parentheses, such as (1 | group), in {right!r}")
    cuts = []
    i = 0
    while i < len(right):
        if i in partner:
            if is_call(right, i):
                i = partner[i]
            else:
                inside = right[i + 1 : partner[i]]
                if any(inside[k] == "|" for k in top_level(inside)):
                    cuts.append((i, partner[i] + 1, False))
                    i = partner[i]
        i += 1
    return cuts


def _offset_cuts(
    right: str, random_cuts: list[tuple[int, int, bool]]
) -> list[tuple[int, int, bool]]:
    """Find the calls of offset; raise FormulaError for one inside a call or a random term."""
    hidden, partner = quoted(right), partners(right)
    closed = [(start, stop) for start, stop in partner.items() if is_call(right, start)]
    closed += [(start, stop) for start, stop, _ in random_cuts]
    cuts = []
    for m in re.finditer(r"(?<![\w.])offset\s*\(", right):
        if hidden[m.start()]:
            continue
        if any(start < m.start() < stop for start, stop in closed):
            raise FormulaError(
                f"offset() in {right!r} is part of another term: write it as a term of its own"
            )
        cuts.append((m.start(), partner[m.end() - 1] + 1, True))
    return cuts


def _offset_expression(text: str) -> str:
    inside = text[text.index("(") + 1 : -1].strip()
    if not inside:
        raise FormulaError(
            "offset() is empty: write the column or expression to subtract inside it"
        )
    return _translate(inside)


def _punch(text: str, cuts: list[tuple[int, int]]) -> str:
    for start, stop in reversed(cuts):
        text = text[:start] + _HOLE + text[stop:]
    return text


def _close_holes(text: str) -> str:
    """Remove placeholders, and the plus signs beside them, from the fixed part."""
    before = None
    while before != text:
        before = text
        text = re.sub(rf"\(\s*{_HOLE}\s*\)", _HOLE, text)
        text = re.sub(rf"\+\s*{_HOLE}(?=\s*(?:[-+)]|$))", "", text)
        text = re.sub(rf"(^|\()(\s*){_HOLE}\s*\+", r"\1\2", text)
        text = re.sub(rf"^\s*{_HOLE}\s*(?=-)", "1 ", text)
    text = text.strip()
    if text == _HOLE:
        return "1"
    if _HOLE in text:
        around = text.replace(_HOLE, "(... | ...)")
        raise FormulaError(f"random and offset terms can only be added with '+', in {around!r}")
    return text


# --- random terms -------------------------------------------------------------------------------


def _random_terms(text: str) -> list[RandomTerm]:
    """Read the terms of one parenthesis: several when the grouping is nested."""
    inside = text[1:-1]
    bars = [i for i in top_level(inside) if inside[i] == "|"]
    if len(bars) > 2 or (len(bars) == 2 and bars[1] != bars[0] + 1):
        raise FormulaError(
            f"too many bars in {text}: write (x | g), or (x || g) for no correlation"
        )
    expr, group = inside[: bars[0]].strip(), inside[bars[-1] + 1 :].strip()
    if not expr:
        raise FormulaError(f"nothing before the bar in {text}: write (1 | {group or 'group'})")
    if not group:
        raise FormulaError(f"no grouping factor after the bar in {text}: write ({expr} | group)")
    if lone_dots(expr):
        raise FormulaError(
            f"'.' can be used in the fixed part only: write out the effects in {text}"
        )
    if _random_cuts(expr) or _random_cuts(group):
        raise FormulaError(
            f"the random term {text} contains another one: write them as two terms, joined by '+'"
        )
    return [
        RandomTerm(_translate(expr), node.label, len(bars) == 1, node.factors)
        for node in _GroupReader(group, text).read()
    ]


def _check_distinct_terms(random: list[RandomTerm]) -> None:
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for term in random:
        key = (re.sub(r"\s", "", term.expr), tuple(sorted(term.factors)))
        if key in seen:
            raise FormulaError(
                f"the random term {term} occurs twice (a/b already contains (1 | a)): remove one"
            )
        seen.add(key)


@dataclass(frozen=True)
class _Group:
    """A grouping factor: one column, or the combinations of several."""

    label: str
    factors: tuple[str, ...]

    def cross(self, other: _Group) -> _Group:
        right = f"({other.label})" if len(other.factors) > 1 else other.label
        return _Group(f"{self.label}:{right}", self.factors + other.factors)


class _GroupReader:
    """Reader of the text right of the bar: names joined by ``:``, ``/`` and ``*``."""

    _token = re.compile(r"\s*(`[^`]+`|[^\W\d]\w*(?:\.\w+)*|\.[^\W\d]\w*|.)", re.DOTALL)

    def __init__(self, text: str, term: str) -> None:
        self.tokens = [m.group(1) for m in self._token.finditer(text) if m.group(1).strip()]
        self.term = term
        self.at = 0

    def read(self) -> list[_Group]:
        groups = self._nested()
        if self.at < len(self.tokens):
            raise self._error(self.tokens[self.at])
        return groups

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self.at += 1
        return token

    def _nested(self) -> list[_Group]:
        groups = self._crossed()
        while self._peek() in ("/", "*"):
            operator = self._next()
            right = self._crossed()
            if len(right) > 1 or (operator == "*" and len(groups) > 1):
                raise FormulaError(
                    f"the grouping of {self.term} is nested too deeply: write its terms one by one"
                )
            if operator == "/":
                # lme4's order: the finest grouping first
                groups = [right[0].cross(groups[0]), *groups]
            else:
                groups = [groups[0], right[0], groups[0].cross(right[0])]
        return groups

    def _crossed(self) -> list[_Group]:
        groups = self._atom()
        while self._peek() == ":":
            self._next()
            right = self._atom()
            if len(groups) > 1 or len(right) > 1:
                raise FormulaError(f"'/' inside ':' in {self.term}: write its terms one by one")
            groups = [groups[0].cross(right[0])]
        return groups

    def _atom(self) -> list[_Group]:
        token = self._next()
        if token == "(":
            groups = self._nested()
            if self._next() != ")":
                raise self._error(self.tokens[self.at - 1] if self.at <= len(self.tokens) else "")
            return groups
        if token in ("factor", "as.factor", "C") and self._peek() == "(":
            return self._atom()  # every grouping column is a factor already
        name = plain_name(token)
        if name is None:
            raise self._error(token)
        return [_Group(name, (name,))]

    def _error(self, token: str) -> FormulaError:
        if token == "+":
            return FormulaError(
                f"'+' in the grouping of {self.term}: write (x | g1) + (x | g2) for two grouping "
                "factors, or (x | g1:g2) for their combinations"
            )
        where = repr(token) if token else "the end"
        return FormulaError(
            f"cannot read the grouping of {self.term} at {where}: write column names joined by ':' "
            "or '/', and make a column of anything else first"
        )


# --- notation of R --------------------------------------------------------------------------------


def _translate(text: str) -> str:
    """Translate ``factor(f)``, and ``^`` inside a call, from R to the grammar of formulaic."""
    hidden, python = quoted(text), python_parts(text)
    out = "".join(
        "**" if char == "^" and python[i] and not hidden[i] else char for i, char in enumerate(text)
    )
    pieces = re.split(r"(`[^`]*`|'[^']*'|\"[^\"]*\")", out)
    pieces[::2] = [re.sub(r"(?<![\w.])(?:as\.)?factor\s*\(", "C(", piece) for piece in pieces[::2]]
    return "".join(pieces).strip()
