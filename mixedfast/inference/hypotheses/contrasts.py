"""Linear hypotheses about the fixed effects, written as arrays, weights by name, or equations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._validation import did_you_mean
from mixedfast.errors import FormulaError, NotIdentifiedError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.formula.parser import unquoted

__all__ = ["Contrasts", "contrasts", "hypothesis"]

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Linear combinations of the identifiable coefficients, with values under the null hypothesis.

    Parameters
    ----------
    labels : tuple of str, length r
        Equations such as ``"ses = 2"``.
    L : (r, p) array
    rhs : (r,) array
    """

    labels: tuple[str, ...]
    L: np.ndarray
    rhs: np.ndarray


def contrasts(fit: LinearFit, L: Any, rhs: float | Sequence[float] = 0.0) -> Contrasts:
    """Read linear combinations of the fixed effects.

    Parameters
    ----------
    fit : LinearFit
    L : array (p,) or (r, p), dict, str, or a sequence of these
        Weights of all coefficients in their order; name -> weight; or an equation such as ``"ses =
        0"``, ``"2*ses - sex[T.Male] = 1"``, ``"a = b = 0"``, several separated by commas.
    rhs : float or sequence of r floats
        Values under the null hypothesis; added to the right-hand sides of equations.

    Raises
    ------
    FormulaError
        For an unknown coefficient, an equation that cannot be read, or a wrong number of weights.
    NotIdentifiedError
        When a coefficient that could not be identified has a weight.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    >>> contrasts(m._fit, "ses = 2, 2*ses - sex[T.Male] = 0").labels
    ('ses = 2', '2*ses - sex[T.Male] = 0')
    """
    names = fit.cp.meta.x_names
    weights, values = hypothesis(L, names)
    values = _plus(values, rhs)
    return Contrasts(_labels(weights, values, names), _identifiable(fit, weights), values)


def hypothesis(L: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read a hypothesis as a matrix and a right-hand side.

    Parameters
    ----------
    L : array, dict, str or a sequence of these
    names : sequence of str, length p
        The coefficients.

    Returns
    -------
    ndarray (r, p), ndarray (r,)

    Raises
    ------
    FormulaError

    Examples
    --------
    >>> hypothesis("a = b = 0", ["a", "b"])
    (array([[1., 0.],
           [0., 1.]]), array([0., 0.]))
    >>> hypothesis({"b": 2}, ["a", "b"])[0]
    array([[0., 2.]])
    """
    if isinstance(L, str):
        return _stack([_equations(text, names) for text in _cut(unquoted(L), ",")])
    if isinstance(L, Mapping):
        if not L:
            raise FormulaError("L is {}: it names no coefficient")
        row = np.zeros(len(names))
        for name, weight in L.items():
            value = _numbers(f"the weight of {name!r}", weight)
            if value.ndim:
                raise FormulaError(
                    f"the weight of {name!r} is {weight!r}, where one number is needed"
                )
            row[_place(unquoted(str(name)), names)] += float(value)
        return row[None, :], np.zeros(1)
    if isinstance(L, Sequence) and any(isinstance(part, (str, Mapping)) for part in L):
        return _stack([hypothesis(part, names) for part in L])
    matrix = np.atleast_2d(_numbers("L", L))
    if matrix.size and not matrix.any(axis=-1).all():
        raise FormulaError(
            f"L is {np.array(L).tolist()}: all weights are 0, give at least one coefficient a "
            "weight"
        )
    if matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise FormulaError(
            f"L has shape {np.shape(L)}: it needs one weight for each of the {len(names)} "
            f"coefficients ({', '.join(names)})"
        )
    return matrix, np.zeros(len(matrix))


def _numbers(what: str, values: Any) -> np.ndarray:
    """Return finite numbers as an array, or raise FormulaError."""
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise FormulaError(f"{what} is {values!r}, where numbers are needed") from error
    if not np.isfinite(numbers).all():
        raise FormulaError(f"{what} is {values!r}, where finite numbers are needed")
    return numbers


def _stack(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Stack several hypotheses."""
    return np.vstack([rows for rows, _ in parts]), np.concatenate([values for _, values in parts])


def _plus(values: np.ndarray, rhs: float | Sequence[float]) -> np.ndarray:
    """Add `rhs` to the right-hand sides."""
    added = _numbers("rhs", rhs)
    if added.ndim > 1 or added.size not in (1, len(values)):
        raise FormulaError(f"rhs holds {added.size} values for {len(values)} combinations")
    return values + added


def _identifiable(fit: LinearFit, weights: np.ndarray) -> np.ndarray:
    """Return the weights of the identifiable columns.

    Raises
    ------
    NotIdentifiedError
        When another column has a weight.
    """
    lost = np.setdiff1d(np.arange(weights.shape[1]), fit.cp.kept)
    bad = [fit.cp.meta.x_names[j] for j in lost if weights[:, j].any()]
    if bad:
        raise NotIdentifiedError(
            f"the data do not determine {', '.join(bad)} (a combination of other columns): leave "
            "it out of the contrast"
        )
    return weights[:, fit.cp.kept]


def _place(name: str, names: Sequence[str]) -> int:
    """Return the position of a coefficient, or raise FormulaError with a suggestion."""
    if name in names:
        return list(names).index(name)
    hint = did_you_mean(name, names, cutoff=0.4) or f"the coefficients are {', '.join(names)}"
    raise FormulaError(f"there is no coefficient {name!r}: {hint}")


# --- labels -------------------------------------------------------------------------------------


def _labels(weights: np.ndarray, values: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Write each combination as an equation."""
    return tuple(
        f"{_sum(row, names)} = {value:g}" for row, value in zip(weights, values, strict=True)
    )


def _sum(row: np.ndarray, names: Sequence[str]) -> str:
    """Write a weighted sum of coefficients."""
    text = ""
    for j in np.flatnonzero(row).tolist():
        size = abs(row[j])
        sign = ("-" if row[j] < 0 else "") if not text else (" - " if row[j] < 0 else " + ")
        text += sign + (names[j] if size == 1.0 else f"{size:g}*{names[j]}")
    return text or "0"


# --- equations ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Linear:
    """weights'beta + constant."""

    weights: np.ndarray
    constant: float = 0.0

    def plus(self, other: _Linear, sign: float = 1.0) -> _Linear:
        """Add another expression, times 1 or -1."""
        return _Linear(self.weights + sign * other.weights, self.constant + sign * other.constant)

    def times(self, factor: float) -> _Linear:
        """Multiply by a number."""
        return _Linear(self.weights * factor, self.constant * factor)


def _equations(text: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read ``a = b = 0`` as rows: each side but the last equals the last."""
    pieces = _cut(text, "=")
    # "==" leaves an empty piece and is read as "="
    written = [piece for i, piece in enumerate(pieces) if piece or i in (0, len(pieces) - 1)]
    sides = [_Reader(side, names).read() for side in written]
    last = sides[-1] if len(sides) > 1 else _Linear(np.zeros(len(names)))
    rows = [side.plus(last, -1.0) for side in sides[: max(1, len(sides) - 1)]]
    if not all(row.weights.any() for row in rows):
        raise FormulaError(f"{text.strip()!r} contains no coefficient")
    return np.array([row.weights for row in rows]) + 0.0, np.array(
        [0.0 - row.constant for row in rows]
    )


def _cut(text: str, mark: str) -> list[str]:
    """Split the text at a mark outside brackets.

    Names such as ``bs(x, df=4)[1]`` contain commas and equal signs.
    """
    pieces, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == mark and depth == 0:
            pieces.append(text[start:i])
            start = i + 1
    return [*pieces, text[start:]]


class _Reader:
    """Reader of a linear expression in coefficients: sums, products with numbers, brackets.

    At each position the longest matching coefficient is read, so brackets and colons in names need
    no quotes.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self._text = text
        self._at = 0
        self._names = names
        self._longest_first = sorted(names, key=len, reverse=True)

    def read(self) -> _Linear:
        """Read the whole text."""
        found = self._sum()
        if self._peek():
            raise self._unreadable()
        return found

    def _peek(self) -> str:
        """Skip spaces and return the next character; empty at the end."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _sum(self) -> _Linear:
        """Read products joined by + and -."""
        total = self._product()
        while (sign := self._peek()) in ("+", "-") and sign:
            self._at += 1
            total = total.plus(self._product(), 1.0 if sign == "+" else -1.0)
        return total

    def _product(self) -> _Linear:
        """Read factors joined by * and /."""
        value = self._factor()
        while (mark := self._peek()) in ("*", "/") and mark:
            self._at += 1
            other = self._factor()
            if mark == "/":
                if other.weights.any() or other.constant == 0.0:
                    raise FormulaError(
                        f"{self._text.strip()!r}: divide by numbers only, and not by zero"
                    )
                value = value.times(1.0 / other.constant)
            elif value.weights.any() and other.weights.any():
                raise FormulaError(
                    f"{self._text.strip()!r} multiplies coefficients: a contrast is a weighted sum"
                )
            else:
                value = (
                    other.times(value.constant)
                    if other.weights.any()
                    else value.times(other.constant)
                )
        return value

    def _factor(self) -> _Linear:
        """Read a signed factor, a coefficient, a number or an expression in brackets."""
        char = self._peek()
        if char in ("+", "-") and char:
            self._at += 1
            return self._factor().times(1.0 if char == "+" else -1.0)
        name = self._name()
        if name is not None:
            self._at += len(name)
            return _Linear(np.eye(len(self._names))[list(self._names).index(name)])
        number = _NUMBER.match(self._text, self._at)
        if number and not self._text[number.end() : number.end() + 1].isidentifier():
            self._at = number.end()
            return _Linear(np.zeros(len(self._names)), float(number.group()))
        if char == "(":
            self._at += 1
            inside = self._sum()
            if self._peek() != ")":
                raise self._unreadable()
            self._at += 1
            return inside
        raise self._unreadable()

    def _name(self) -> str | None:
        """Return the longest coefficient at this position, if there is one."""
        rest = self._text[self._at :]
        return next(
            (n for n in self._longest_first if rest.startswith(n) and _ends(rest[len(n) :])), None
        )

    def _unreadable(self) -> FormulaError:
        """Make the error for the text at this position."""
        word = re.match(
            r"[^\W\d][\w.]*(?:\[[^\]]*\]|\([^)]*\)|:[^\W\d][\w.]*)*", self._text[self._at :]
        )
        if word:
            try:
                _place(word.group(), self._names)
            except FormulaError as error:
                return error
        where = self._text[self._at :].strip() or "its end"
        return FormulaError(
            f"cannot read {self._text.strip()!r} at {where!r}: write a weighted sum of coefficients"
        )


def _ends(rest: str) -> bool:
    """Check whether a name can end before this text."""
    return not rest or not (rest[0].isalnum() or rest[0] in "_.[:(")
