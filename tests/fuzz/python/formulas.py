"""Formulas: every text gives a model or an error of mixedfast.

It runs nothing, and reads the same when it is printed.

The first byte says whether the rest is text as it is, or a row of tokens, which gets further into
the grammar.
"""

from __future__ import annotations

import re

from harness import Choices, fuzz, nothing_happens

TOKENS = [
    *"yxwzstghbdmu",
    *"~+-*/:|()[]{},.^%=;#&<>!",
    "`my var`",
    "`",
    "||",
    "**",
    "==",
    " ",
    "0",
    "1",
    "2",
    "3",
    "7",
    "0.5",
    "-1",
    "'a'",
    '"a"',
    "'",
    '"',
    "\\",
    "\n",
    "\t",
    "I(",
    "C(",
    "log(",
    "np.log(",
    "np.",
    "exp(",
    "sqrt(",
    "poly(",
    "bs(",
    "cr(",
    "cc(",
    "scale(",
    "center(",
    "lag(",
    "hashed(",
    "Q(",
    "offset(",
    "factor(",
    "contr.sum",
    "contr.",
    "Treatment",
    "Sum(",
    "df=",
    "degree=",
    "levels=",
    "base=",
    "(1 | g)",
    "(x | g)",
    "(x || g)",
    "(0 + x | g)",
    "(1 | g/h)",
    "(1 | g:h)",
    "(s | g)",
    "__",
    "__class__",
    "lambda",
    "import",
    "é",
    "ℵ",
    "١",
    "\ufeff",
    "\x00",
    "in",
    "not",
    "if",
    "else",
    "and",
    "or",
    "None",
    "True",
    "_state=",
    "out=",
    "*[",
    "np.where(",
    "np.isin(",
    "np.digitize(",
]
#: What a formula may ask for and get, however long it takes: documented, and no use to wait for.
WORK = re.compile(
    r"\d{3}|(\*\*|\^).*(\*\*|\^)|<<|\d\d\s*\*|\*\s*\d\d|df\s*=\s*\d\d|\d\d\s*\)", re.DOTALL
)


def text_of(data: bytes) -> str:
    """Return the formula that a fuzzer's bytes stand for."""
    choices = Choices(data)
    if choices.byte() < 128:
        return choices.rest().decode(errors="replace")
    text = "" if choices.byte() < 64 else "y ~ "
    while choices:
        text += choices.one(TOKENS)
    return text


def a_table() -> dict[str, object]:
    import numpy as np

    rng, n = np.random.default_rng(0), 24
    missing = rng.normal(size=n)
    missing[3] = np.nan
    return {
        "y": rng.normal(size=n),
        "x": rng.normal(size=n),
        "w": 1.0 + rng.random(n),
        "z": np.arange(n),
        "m": missing,
        "s": np.array(list("abc"))[np.arange(n) % 3],
        "t": np.array(["é", "b"])[np.arange(n) % 2],
        "g": np.arange(n) % 5,
        "h": np.arange(n) % 4,
        "b": np.arange(n) % 2 == 0,
        "d": np.arange(n).astype("M8[D]"),
        "u": np.full(n, 2.0),
        "my var": rng.normal(size=n),
    }


def printed(spec: object) -> str:
    """Return a formula with the parts of a ModelSpec."""
    random = [str(term) for term in spec.random]  # type: ignore[attr-defined]
    offsets = [f"offset({text})" for text in spec.offsets]  # type: ignore[attr-defined]
    return f"{spec.response} ~ {' + '.join([spec.fixed, *random, *offsets])}"  # type: ignore[attr-defined]


def one_input(data: bytes) -> None:
    import mixedfast as mf
    from mixedfast.formula.parser import parse

    text = text_of(data)
    if WORK.search(text):
        return
    with nothing_happens():
        try:
            spec = parse(text)
        except mf.MixedFastError:
            spec = None
        if spec is not None:
            again = parse(printed(spec))
            assert printed(again) == printed(spec), (
                f"{text!r} is {printed(spec)!r}, and that is {printed(again)!r}"
            )
        try:
            mf.lmer(text, a_table()) if spec is not None else mf.lm(text, a_table())
        except mf.MixedFastError as error:
            assert str(error), f"an error without a word for {text!r}"


if __name__ == "__main__":
    fuzz(one_input, ["mixedfast", "formulaic.parser"])
