"""Characters of a formula: quotes, matching brackets, and the text outside of both."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator

from mixedfast.errors import FormulaError

__all__ = [
    "check_characters",
    "is_call",
    "partners",
    "python_parts",
    "quoted",
    "split",
    "top_level",
    "without_code",
]

_CLOSE = {"(": ")", "[": "]", "{": "}"}
#: Characters that word processors and other keyboards write in place of those of a formula.
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


def check_characters(text: str) -> None:
    """Raise FormulaError for a character that is invisible, or looks like one that formulas use.

    Examples
    --------
    >>> check_characters("y ~ x − 1")
    Traceback (most recent call last):
    mixedfast.errors.FormulaError: '−' (MINUS SIGN) in 'y ~ x − 1' is not '-': write '-'
    """
    for char, inside in zip(text, quoted(text), strict=True):
        if inside or char.isascii():
            continue
        if char in _PLAIN:
            raise FormulaError(
                f"{char!r} ({unicodedata.name(char)}) in {text!r} is not {_PLAIN[char]!r}: "
                f"write {_PLAIN[char]!r}"
            )
        if unicodedata.category(char) == "Cf":
            name = unicodedata.name(char, ascii(char))
            raise FormulaError(f"{text!r} contains the invisible character {name}: remove it")


def quoted(text: str) -> list[bool]:
    """Return for each character whether it is part of a string or of a name in backticks."""
    marks = [False] * len(text)
    open_at: int | None = None
    for i, char in enumerate(text):
        if open_at is not None:
            marks[i] = True
            if char == text[open_at] and text[i - 1] != "\\":
                if text[open_at : i + 1] == "``":
                    raise FormulaError(
                        f"`` in {text!r} is empty: write the name of a column between the backticks"
                    )
                open_at = None
        elif char in "'\"`":
            marks[i] = True
            open_at = i
    if open_at is not None:
        raise FormulaError(f"{text[open_at]} is opened but never closed in {text!r}")
    return marks


def partners(text: str) -> dict[int, int]:
    """Map the position of each opening bracket to that of its closing one, outside of quotes."""
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
    """Return whether the bracket at a position holds arguments of a function, or Python code."""
    before = text[:at].rstrip()
    return text[at] != "(" or (bool(before) and (before[-1].isalnum() or before[-1] in "_.)]`"))


def top_level(text: str) -> Iterator[int]:
    """Yield the positions of the characters outside of quotes and brackets."""
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
    """Split a text at a character, outside of quotes and brackets."""
    at = [i for i in top_level(text) if text[i] == mark]
    edges = [-1, *at, len(text)]
    return [text[a + 1 : b] for a, b in itertools.pairwise(edges)]


def python_parts(text: str) -> list[bool]:
    """Return for each character whether it is part of a function's arguments or of Python code."""
    python = [False] * len(text)
    for start, stop in partners(text).items():
        if is_call(text, start):
            python[start : stop + 1] = [True] * (stop + 1 - start)
    return python


def without_code(text: str) -> str:
    """Replace strings, quoted names and arguments of functions, which are not formula, by blanks.

    Examples
    --------
    >>> without_code("(a + b)^2 + I(x ** 3)")
    '(a + b)^2 + I        '
    """
    return "".join(
        " " if a or b else char
        for char, a, b in zip(text, quoted(text), python_parts(text), strict=True)
    )
