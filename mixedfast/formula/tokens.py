"""The characters of a formula: which are quoted, which bracket closes which, and what lies outside of both."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator

from mixedfast.errors import FormulaError

__all__ = [
    "is_call",
    "partners",
    "python_parts",
    "quoted",
    "refuse_lookalikes",
    "split",
    "top_level",
    "without_code",
]

_CLOSE = {"(": ")", "[": "]", "{": "}"}
#: What word processors and other keyboards write in place of the characters that formulas are made of.
_PLAIN = {
    **dict.fromkeys("～∼˜", "~"),
    **dict.fromkeys("｜∣│", "|"),
    **dict.fromkeys("−–—－", "-"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("×＊∗", "*"),
    "＋": "+",
    "：": ":",
    "（": "(",
    "）": ")",
    "／": "/",
    "，": ",",
}


def refuse_lookalikes(text: str) -> None:
    """Raise FormulaError for a character that looks like one of a formula's, or like none, and is another.

    Examples
    --------
    >>> refuse_lookalikes("y ~ x − 1")
    Traceback (most recent call last):
    mixedfast.errors.FormulaError: '−' (MINUS SIGN) in 'y ~ x − 1' is not '-': write that
    """
    for char, inside in zip(text, quoted(text), strict=True):
        if inside or char.isascii():
            continue
        if char in _PLAIN:
            raise FormulaError(
                f"{char!r} ({unicodedata.name(char)}) in {text!r} is not {_PLAIN[char]!r}: write that"
            )
        if unicodedata.category(char) == "Cf":
            name = unicodedata.name(char, ascii(char))
            raise FormulaError(f"{text!r} holds a character that nobody sees, {name}: take it out")


def quoted(text: str) -> list[bool]:
    """For each character, whether it is part of a string or of a backticked name."""
    marks = [False] * len(text)
    open_at: int | None = None
    for i, char in enumerate(text):
        if open_at is not None:
            marks[i] = True
            if char == text[open_at] and text[i - 1] != "\\":
                if text[open_at : i + 1] == "``":
                    raise FormulaError(
                        f"`` in {text!r} names no column: write its name between the backticks"
                    )
                open_at = None
        elif char in "'\"`":
            marks[i] = True
            open_at = i
    if open_at is not None:
        raise FormulaError(f"{text[open_at]} is opened and never closed in {text!r}")
    return marks


def partners(text: str) -> dict[int, int]:
    """Where each opening bracket closes; brackets in quotes are none."""
    partner: dict[int, int] = {}
    stack: list[int] = []
    for i, (char, inside) in enumerate(zip(text, quoted(text), strict=True)):
        if inside:
            continue
        if char in _CLOSE:
            stack.append(i)
        elif char in _CLOSE.values():
            if not stack or _CLOSE[text[stack[-1]]] != char:
                raise FormulaError(
                    f"unbalanced parenthesis: {char!r} closes nothing in {text[: i + 1]!r}; "
                    "count the brackets of this part of the formula"
                )
            partner[stack.pop()] = i
    if stack:
        raise FormulaError(
            f"unbalanced parenthesis: {text[stack[-1]]!r} is never closed in {text[stack[-1] :]!r}"
        )
    return partner


def is_call(text: str, at: int) -> bool:
    """Whether the bracket at this place holds the arguments of a function, or Python code."""
    before = text[:at].rstrip()
    return text[at] != "(" or (bool(before) and (before[-1].isalnum() or before[-1] in "_.)]`"))


def top_level(text: str) -> Iterator[int]:
    """The places of the characters outside any quote and any bracket."""
    hidden = quoted(text)
    partner = partners(text)
    i = 0
    while i < len(text):
        if i in partner:
            i = partner[i]
        elif not hidden[i]:
            yield i
        i += 1


def split(text: str, mark: str) -> list[str]:
    """The parts of a text between the marks that stand outside any quote and bracket."""
    at = [i for i in top_level(text) if text[i] == mark]
    edges = [-1, *at, len(text)]
    return [text[a + 1 : b] for a, b in itertools.pairwise(edges)]


def python_parts(text: str) -> list[bool]:
    """For each character, whether it is part of a function's arguments or of Python code."""
    python = [False] * len(text)
    for start, stop in partners(text).items():
        if is_call(text, start):
            python[start : stop + 1] = [True] * (stop + 1 - start)
    return python


def without_code(text: str) -> str:
    """A formula with blanks for what formulaic does not read itself: strings, quoted names, arguments of functions.

    Examples
    --------
    >>> without_code("(a + b)^2 + I(x ** 3)")
    '(a + b)^2 + I        '
    """
    return "".join(
        " " if a or b else char
        for char, a, b in zip(text, quoted(text), python_parts(text), strict=True)
    )
