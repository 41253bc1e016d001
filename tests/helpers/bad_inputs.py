"""Wrong inputs, one list for the tests and for the page docs/bad_input.md.

``python tests/helpers/bad_inputs.py`` writes the page; test_bad_input.py fails when it is out of date.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

import mixedfast as mf
from mixedfast import cli
from mixedfast.compat.statsmodels import mixedlm

N = 60
FORMULA = "y ~ x + (1 | g)"
PAGE = Path(__file__).parents[2] / "docs" / "bad_input.md"


def a_table(**changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    g, x = np.arange(N) % 6, rng.normal(size=N)
    y = 1.0 + x + rng.normal(size=6)[g] + rng.normal(size=N)
    return {
        "y": y,
        "x": x,
        "g": g,
        "s": np.array(list("abc"))[np.arange(N) % 3],
        "w": np.ones(N),
    } | changed


TWICE = "y,x,g,x\n1,2,1,2\n2,1,1,2\n"


def with_value(name: str, value: float, row: int = 3) -> dict[str, Any]:
    values = np.array(a_table()[name], dtype=float)
    values[row] = value
    return a_table(**{name: values})


def with_codes_outside() -> pd.Categorical:
    column = pd.Categorical.from_codes(np.arange(N) % 3, list("abc"))
    column._ndarray[:3] = 100
    return column


@cache
def a_fit() -> mf.LMMResult:
    return mf.lmer("y ~ x + s + (1 | g)", pd.DataFrame(a_table()))


@dataclass(frozen=True)
class Bad:
    """One wrong input: what a user writes, and what happens.

    ``shown`` is printed on the page; ``run`` does it.
    """

    shown: str
    run: Callable[[], Any]


@dataclass(frozen=True)
class Chapter:
    title: str
    inputs: list[Bad] = field(default_factory=list)


def formula(text: str) -> Bad:
    return Bad(f'mf.lmer("{text}", data)', lambda: mf.lmer(text, a_table()))


def data(shown: str, **changed: Any) -> Bad:
    return Bad(f"mf.lmer(formula, data)  # {shown}", lambda: mf.lmer(FORMULA, a_table(**changed)))


def option(shown: str, **options: Any) -> Bad:
    return Bad(f"mf.lmer(formula, data, {shown})", lambda: mf.lmer(FORMULA, a_table(), **options))


def method(shown: str, call: Callable[[mf.LMMResult], Any]) -> Bad:
    return Bad(f"m.{shown}", lambda: call(a_fit()))


def file(shown: str, spoil: Callable[[bytes], bytes]) -> Bad:
    """Return the path of a saved model that is damaged."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.mf"
            a_fit().save(path)
            path.write_bytes(spoil(path.read_bytes()))
            try:
                mf.load(path)
            except mf.MixedFastError as error:
                raise type(error)(str(error).replace(folder, "folder")) from error

    return Bad(f'mf.load("folder/model.mf")  # {shown}', run)


def written(
    shown: str, content: str | bytes, read: Callable[[Path], Any], name: str = "table.csv"
) -> Bad:
    """Return a reader of a file in a new folder."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            try:
                read(path)
            except mf.MixedFastError as error:
                raise type(error)(str(error).replace(folder, "folder")) from error

    return Bad(shown, run)


def command(shown: str, content: str | bytes, name: str = "table.csv") -> Bad:
    """Return what `mixedfast fit` prints after its name."""

    def read(path: Path) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            status = cli.main(["fit", FORMULA, str(path)])
        if status:
            raise mf.DataError(said.getvalue().removeprefix("mixedfast: ").strip())

    return written(f"mixedfast fit FORMULA {name}  # {shown}", content, read, name)


def checkpoint(shown: str, place: Any) -> Bad:
    batches = [pa.table(a_table())] * 2
    shown = f"mf.crossproducts(formula, batches, checkpoint={shown})"
    return Bad(shown, lambda: mf.crossproducts(FORMULA, batches, checkpoint=place))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: Formulas that try to run code. Each must be refused before anything is evaluated.
ATTACKS = [
    "y ~ I(__import__('os').system('id')) + (1 | g)",
    "y ~ I(open('secret').read()) + (1 | g)",
    "y ~ I(eval('1')) + (1 | g)",
    "y ~ I(().__class__.__base__.__subclasses__()) + (1 | g)",
    "y ~ x.to_csv('stolen') + (1 | g)",
    "y ~ I(x.__class__) + (1 | g)",
    "y ~ np.load('file.npy') + (1 | g)",
    "y ~ np.ctypeslib.os.getcwd() + (1 | g)",
    "y ~ np.exp(x, out=x) + (1 | g)",
    "y ~ np.add.reduce(x) + (1 | g)",
    "y ~ I((lambda z: 1)(x)) + (1 | g)",
    "y ~ {[q for q in (1, 2)]} + (1 | g)",
    "y ~ I((z := x)) + (1 | g)",
    "y ~ I(f'{x!r}') + (1 | g)",
    "y ~ scale(x, _state=y) + (1 | g)",
    "y ~ scale(*[x]) + (1 | g)",
    "y ~ scale(**w) + (1 | g)",
    "y ~ contr.__class__(x) + (1 | g)",
    "y ~ contr.sum.mro() + (1 | g)",
    "y ~ contr + contr.to_csv('stolen') + (1 | g)",
    "y ~ np + np.where(np > 0, inplace=True) + (1 | g)",
    "y ~ I(x + 9**9**9) + (1 | g)",
    "y ~ I('a' * 10**10) + (1 | g)",
    "y ~ x + np.add(y, x, x) + (1 | g)",
    "y ~ I(`__import__`('os')) + (1 | g)",
    "y ~ I('`' + str(open('secret')) + '`') + (1 | g)",
    "np.log(exit()) ~ x + (1 | g)",
    "y ~ x + offset(exec('1')) + (1 | g)",
    "y ~ x + (I(getattr(x, 'values')) | g)",
    "y ~ x + (1 | __import__('os'))",
]

CHAPTERS = [
    Chapter(
        "Formulas that cannot be read",
        [
            *map(
                formula,
                [
                    "y ~ x + (1 | g",
                    "y ~ x + (1 | g))",
                    "y ~ x",
                    "x + (1 | g)",
                    "",
                    "y ~ ",
                    "y ~ x + (1 | )",
                    "y ~ x + ( | g)",
                    "y ~ x + (0 | g)",
                    "y ~ x + 1 | g",
                    "y ~ x + (1 | g) + (1 | g)",
                    "y ~ nofunc(x) + (1 | g)",
                    "y ~ ns(x, df=3) + (1 | g)",
                    "y ~ relevel(s, 'b') + (1 | g)",
                    "y ~ x + diag(1 | g)",
                    "y ~ x + (. | g)",
                    "y ~ x + (1 | log(g))",
                    "y ~ x + (1 | g + s)",
                    "y ~ x + offset(2) + (1 | g)",
                    "2 ~ x + (1 | g)",
                    ". ~ x + (1 | g)",
                    "y ~ y + (1 | g)",
                    "y ~ x + (1 | g) # later",
                    "y ~ x + `s + (1 | g)",
                    "y ~ x + `` + (1 | g)",
                    "y ～ x + (1 | g)",
                    "y ~ x − 1 + (1 | g)",
                    "y ~ x + (1 ｜ g)",
                    "y ~ C(s, contr.treatment(“b”)) + (1 | g)",
                    "y ~ x\u200b + (1 | g)",
                    "y <- x + (1 | g)",
                    "y = x + (1 | g)",
                    "y ~ x; (1 | g)",
                    "y ~ data$x + (1 | g)",
                    "y ~ x * (1 | g)",
                    "y ~ (x + w ~ s | g)",
                    "y ~ (x + w)^40 + (1 | g)",
                    "y ~ bs(x, df=1) + (1 | g)",
                    "y ~ log(s) + (1 | g)",
                    "y ~ C(s, x) + (1 | g)",
                    "y ~ I(x[0]) + (1 | g)",
                    "y ~ x + I(x[1:3]) + (1 | g)",
                    "y ~ np.where(x) + (1 | g)",
                    "y ~ np.log + (1 | g)",
                    "y ~ x:(1 | g)",
                    "y ~ x + (1 | g)^2",
                    "y ~ x + (1 | g:)",
                    "y ~ I(1j * x) + (1 | g)",
                    "1j * y ~ x + (1 | g)",
                ],
            ),
            Bad(
                'mf.lmer("y ~ I(" + "x + " * 5000 + "x) + (1 | g)", data)',
                lambda: mf.lmer("y ~ I(" + "x + " * 5000 + "x) + (1 | g)", a_table()),
            ),
            Bad(
                'mf.lmer("y ~ `" + "n" * 1_000_000 + "` + (1 | g)", data)',
                lambda: mf.lmer("y ~ `" + "n" * 1_000_000 + "` + (1 | g)", a_table()),
            ),
            Bad("mf.lmer(3, data)", lambda: mf.lmer(3, a_table())),  # type: ignore[arg-type]
            Bad("mf.lmer(data, formula)", lambda: mf.lmer(pd.DataFrame(a_table()), FORMULA)),  # type: ignore[arg-type]
        ],
    ),
    Chapter(
        "Subsets",
        [
            Bad(
                f"mf.lmer_by(formula, data, {shown})",
                lambda by=by: mf.lmer_by(FORMULA, a_table(), **by),
            )
            for shown, by in (
                ('by="q"', {"by": "q"}),
                ("by=[]", {"by": []}),
                ('by="x"', {"by": "x"}),
                ("by=3", {"by": 3}),
                ('by="s", engine="fast"', {"by": "s", "engine": "fast"}),
            )
        ]
        + [
            Bad(
                'mf.lmer_by(formula, "rows.parquet", by="s")',
                lambda: mf.lmer_by(FORMULA, "rows.parquet", by="s"),
            )
        ],
    ),
    Chapter("Formulas that try to run code", [formula(text) for text in ATTACKS]),
    Chapter(
        "Columns",
        [
            formula("y ~ q + (1 | g)"),
            formula("y ~ x + (1 | q)"),
            formula("Y ~ x + (1 | g)"),
            Bad(
                'mf.lmer("y ~ é + (1 | g)", data)  # the column is called e and an accent',
                lambda: mf.lmer("y ~ é + (1 | g)", a_table() | {"e\u0301": a_table()["x"]}),
            ),
            formula("s ~ x + (1 | g)"),
            formula("y ~ log(x) + (1 | g)"),
            formula("[y, x] ~ w + (1 | g)"),
            data("x is text, and one value is '.'", x=[*map(str, range(N - 1)), "."]),
            data("x is text with decimal commas", x=[f"{v},5" for v in range(N)]),
            data("no columns at all", y=[], x=[], g=[], s=[], w=[]),
            data("x has 50 values, the others 60", x=np.ones(50)),
            data("every y is missing", y=np.full(N, np.nan)),
            data("every g is missing", g=np.full(N, np.nan)),
            Bad(
                "mf.lmer(formula, data)  # x[3] = inf",
                lambda: mf.lmer(FORMULA, with_value("x", np.inf)),
            ),
            Bad(
                "mf.lmer(formula, data)  # y[3] = -inf",
                lambda: mf.lmer(FORMULA, with_value("y", -np.inf)),
            ),
            data("x holds numbers as text", x=a_table()["x"].astype(str)),
            data("y holds numbers as text", y=a_table()["y"].astype(str)),
            data("x is complex", x=np.ones(N) + 1j),
            data("x holds dates", x=np.arange(N).astype("M8[s]")),
            data(
                "g holds whole numbers past 2**63",
                g=(np.arange(N) % 6).astype(np.uint64) + np.uint64(2**63),
            ),
            data("x times 1e200", x=1e200 * a_table()["x"]),
            data("y times 1e-200", y=1e-200 * a_table()["y"]),
            Bad(
                "mf.lmer(formula, frame)  # two columns called x",
                lambda: mf.lmer(
                    FORMULA,
                    pd.concat([pd.DataFrame(a_table()), pd.DataFrame(a_table())[["x"]]], axis=1),
                ),
            ),
            data("x holds numbers and text", x=np.array([1, "a"] * (N // 2), dtype=object)),
            data("g holds numbers and text", g=np.array([1, "a"] * (N // 2), dtype=object)),
            data("g holds fractions", g=a_table()["g"] + 0.5),
            data("g holds dates", g=a_table()["g"].astype("M8[D]")),
            data("x has two columns", x=np.ones((N, 2))),
            data("x holds lists of one and of two numbers", x=[[1.0]] * (N - 1) + [[1.0, 2.0]]),
            data("x holds fractions of Python", x=[Fraction(1, 3)] * N),
            Bad(
                "mf.lmer(formula, table)  # an Arrow table with two columns called x",
                lambda: mf.lmer(
                    FORMULA, pa.Table.from_arrays([pa.array([1.0])] * 4, names=["y", "x", "g", "x"])
                ),
            ),
            Bad(
                "mf.lmer(formula, lazy)  # a polars frame that asks for a column it lacks",
                lambda: mf.lmer(FORMULA, pl.LazyFrame(a_table()).with_columns(x=pl.col("q"))),
            ),
            Bad('mf.lmer(formula, "")', lambda: mf.lmer(FORMULA, "")),
            Bad(
                "mf.lmer(formula, [{...}, {...}])  # rows as dicts",
                lambda: mf.lmer(FORMULA, [{"y": 1.0, "x": 2.0, "g": 1}] * 2),
            ),
            data("x holds dicts", x=[{}] * N),
            data("x holds time spans", x=np.arange(N).astype("m8[s]")),
            data("y holds categories", y=pd.Categorical(a_table()["s"])),
            data("y holds one number", y=3.0),
            data("y holds a signalling NaN", y=[Decimal("sNaN")] + [Decimal(1)] * (N - 1)),
            data("g holds half of a surrogate pair", g=np.array(["\ud800"] * N, dtype=object)),
            data("g holds records", g=np.array([(1,)] * N, dtype=[("a", int)])),
            data("g has codes without a category", g=with_codes_outside()),
            Bad(
                'mf.lmer("y ~ s + (1 | g)", frame)  # s has levels and no value',
                lambda: mf.lmer(
                    "y ~ s + (1 | g)",
                    pd.DataFrame(a_table(s=pd.Categorical([None] * N, categories=["a", "b"]))),
                ),
            ),
            Bad(
                "mf.lmer(formula, frame)  # two levels of names",
                lambda: mf.lmer(FORMULA, pd.concat({"a": pd.DataFrame(a_table())}, axis=1)),
            ),
            Bad(
                "mf.lmer(formula, frame[:1])", lambda: mf.lmer(FORMULA, pd.DataFrame(a_table())[:1])
            ),
            Bad("mf.lmer(formula, None)", lambda: mf.lmer(FORMULA, None)),
            Bad(
                'mf.lmer(formula, frame["y"])',
                lambda: mf.lmer(FORMULA, pd.DataFrame(a_table())["y"]),
            ),
            Bad("mf.lmer(formula, np.zeros((60, 3)))", lambda: mf.lmer(FORMULA, np.zeros((N, 3)))),
            Bad(
                "mf.lm('y ~ x', data)  # y times 1e-200",
                lambda: mf.lm("y ~ x", a_table(y=1e-200 * a_table()["y"])),
            ),
            Bad("mf.lmer(formula, 5)", lambda: mf.lmer(FORMULA, 5)),
            Bad('mf.lmer(formula, "no such file")', lambda: mf.lmer(FORMULA, "no such file")),
        ],
    ),
    Chapter(
        "Models that the data do not identify",
        [
            data("g has one level", g=np.zeros(N)),
            data("g has a level a row", g=np.arange(N)),
            Bad(
                'mf.lmer("y ~ x * s + (1 | g)", data)  # s is "a" everywhere',
                lambda: mf.lmer("y ~ x * s + (1 | g)", a_table(s=np.array(["a"] * N))),
            ),
            Bad(
                'mf.lmer("y ~ x + (s | g)", data)  # s is "a" everywhere',
                lambda: mf.lmer("y ~ x + (s | g)", a_table(s=np.array(["a"] * N))),
            ),
            Bad(
                'mf.lmer("y ~ x + (x | g)", data)  # two rows a group',
                lambda: mf.lmer("y ~ x + (x | g)", a_table(g=np.arange(N) // 2)),
            ),
            Bad(
                'mf.lmer("y ~ t + (1 | g)", data)  # t is True in every row',
                lambda: mf.lmer("y ~ t + (1 | g)", a_table(t=np.full(N, True))),
            ),
            data("y is constant", y=np.full(N, 3.3)),
            data("y is 1 + 2 x", y=1.0 + 2.0 * a_table()["x"]),
            Bad(
                'mf.lmer("y ~ x + (z | g)", data)  # z is 1 everywhere',
                lambda: mf.lmer("y ~ x + (z | g)", a_table(z=np.ones(N))),
            ),
        ],
    ),
    Chapter(
        "Options",
        [
            option('engine="fast"', engine="fast"),
            option('na_action="ignore"', na_action="ignore"),
            Bad(
                'mf.lmer(formula, data, na_action="raise")  # x[3] is missing',
                lambda: mf.lmer(FORMULA, with_value("x", np.nan), na_action="raise"),
            ),
            option('REML="ML"', REML="ML"),
            option('engine="Block"', engine="Block"),
            option("threads=0", threads=0),
            option('levels={"g": None}', levels={"g": None}),
            option('levels={"g": [None]}', levels={"g": [None]}),
            option('levels={"g": [[1]]}', levels={"g": [[1]]}),
            option('levels={"g": [0, 1]}', levels={"g": [0, 1]}),
            option("threads=True", threads=True),
            option('start="x"', start="x"),
            option("weights=ones((60, 2))", weights=np.ones((N, 2))),
            option("weights=inf", weights=np.full(N, np.inf)),
            option("contrasts=['sum']", contrasts=["sum"]),
            option('contrasts={"x": "sum"}', contrasts={"x": "sum"}),
            option("start=[1, 2]", start=[1.0, 2.0]),
            option("start=[nan]", start=[np.nan]),
            option('weights="q"', weights="q"),
            option('weights="s"', weights="s"),
            option("weights=[1] * 59", weights=np.ones(N - 1)),
            option("weights=-ones", weights=-np.ones(N)),
            option("weights=2.0", weights=2.0),
            option("offset=inf", offset=np.full(N, np.inf)),
            option('contrasts={"q": "sum"}', contrasts={"q": "sum"}),
            Bad(
                'mf.lmer("y ~ s + (1 | g)", data, contrasts={"s": "zzz"})',
                lambda: mf.lmer("y ~ s + (1 | g)", a_table(), contrasts={"s": "zzz"}),
            ),
            Bad("mf.allow_in_formulas(log=f)", lambda: mf.allow_in_formulas(log=abs)),
            Bad("mf.allow_in_formulas(f=3)", lambda: mf.allow_in_formulas(f=3)),  # type: ignore[arg-type]
            Bad('mf.allow_in_formulas(**{"a b": f})', lambda: mf.allow_in_formulas(**{"a b": abs})),
            checkpoint("3", 3),
            checkpoint('"."', "."),
            Bad(
                'mixedlm("y ~ x", data, groups="g").fit(reml="no")',
                lambda: mixedlm("y ~ x", a_table(), groups="g").fit(reml="no"),  # type: ignore[arg-type]
            ),
        ],
    ),
    Chapter(
        "Methods of a result",
        [
            method('coef_table(ddf="exact")', lambda m: m.coef_table(ddf="exact")),
            method('coef_table(ddf="Kenward-Roger")', lambda m: m.coef_table(ddf="Kenward-Roger")),
            method('anova(type="iii")', lambda m: m.anova(type="iii")),
            method('contrast({"x": "a"})', lambda m: m.contrast({"x": "a"})),
            method('contrast("x = 0", rhs="a")', lambda m: m.contrast("x = 0", rhs="a")),
            method("contrast([nan] * 4)", lambda m: m.contrast([np.nan] * 4)),
            method('contrast({"x": [1, 2]})', lambda m: m.contrast({"x": [1, 2]})),
            method('contrast({"x": None})', lambda m: m.contrast({"x": None})),
            method("contrast({})", lambda m: m.contrast({})),
            method('contrast("x = 0", rhs=nan)', lambda m: m.contrast("x = 0", rhs=np.nan)),
            method(
                'contrast("x = 0, 2*x = 1", joint=True)',
                lambda m: m.contrast("x = 0, 2*x = 1", joint=True),
            ),
            method('contrast("x = 0", joint="no")', lambda m: m.contrast("x = 0", joint="no")),
            Bad('mf.anova(m, m, refit="no")', lambda: mf.anova(a_fit(), a_fit(), refit="no")),  # type: ignore[arg-type]
            method('summary(ddf="")', lambda m: m.summary(ddf="")),
            method("tidy(effects=3)", lambda m: m.tidy(effects=3)),
            method('predict(se="no")', lambda m: m.predict(se="no")),
            method('ranef(cond_var="no")', lambda m: m.ranef(cond_var="no")),
            method('resid(marginal="no")', lambda m: m.resid(marginal="no")),
            method('profile("x", max_level="high")', lambda m: m.profile("x", max_level="high")),
            method("save(3)", lambda m: m.save(3)),
            method('save("")', lambda m: m.save("")),
            method("to_html(3)", lambda m: m.to_html(3)),
            method("to_html(title=3)", lambda m: m.to_html(title=3)),
            method("to_html(profile=3)", lambda m: m.to_html(profile=3)),
            Bad("mf.page(table, heading=3)", lambda: mf.page(pd.DataFrame(a_table()), heading=3)),  # type: ignore[arg-type]
            Bad("mf.load_dataset(['sleepstudy'])", lambda: mf.load_dataset(["sleepstudy"])),  # type: ignore[arg-type]
            method("emmeans(3)", lambda m: m.emmeans(3)),
            method('emmeans("s", at=3)', lambda m: m.emmeans("s", at=3)),
            method('emmeans("s", at={"x": None})', lambda m: m.emmeans("s", at={"x": None})),
            method('emmeans("s", by=3)', lambda m: m.emmeans("s", by=3)),
            method('emmeans("s", offset="a")', lambda m: m.emmeans("s", offset="a")),
            method('emmeans("s", weights="size")', lambda m: m.emmeans("s", weights="size")),
            method('emmeans("s", type="y")', lambda m: m.emmeans("s", type="y")),
            method('emtrends("s")', lambda m: m.emtrends("s")),
            method("emtrends(3)", lambda m: m.emtrends(3)),
            method(
                'emmeans("s").contrast("helmert")', lambda m: m.emmeans("s").contrast("helmert")
            ),
            method(
                'emmeans("s").contrast({"a": [1]})', lambda m: m.emmeans("s").contrast({"a": [1]})
            ),
            method(
                'emmeans("s").contrast("control", ref="q")',
                lambda m: m.emmeans("s").contrast("control", ref="q"),
            ),
            method(
                'emmeans("s").contrast("eff", adjust="tukey")',
                lambda m: m.emmeans("s").contrast("eff", adjust="tukey"),
            ),
            method('emmeans("s").letters(5)', lambda m: m.emmeans("s").letters(5)),
            method("update(3)", lambda m: m.update(3)),
            method('update(". ~ . - nothing")', lambda m: m.update(". ~ . - nothing")),
            method('update(". ~ . - x:s")', lambda m: m.update(". ~ . - x:s")),
            method('update(". ~ . - (1 | s)")', lambda m: m.update(". ~ . - (1 | s)")),
            method("influence(3)", lambda m: m.influence(3)),
            method("contrast([0, 0, 0, 0])", lambda m: m.contrast([0, 0, 0, 0])),
            method('emmeans("s", level=95)', lambda m: m.emmeans("s", level=95)),
            Bad('mf.KenwardRoger(probes="many")', lambda: mf.KenwardRoger(probes="many")),  # type: ignore[arg-type]
            Bad('mf.KenwardRoger(seed="a")', lambda: mf.KenwardRoger(seed="a")),  # type: ignore[arg-type]
            method('simulate(1, seed="a")', lambda m: m.simulate(1, seed="a")),
            method('refit(["a"] * 60)', lambda m: m.refit(["a"] * N)),
            method("bootstrap(5, threads=0)", lambda m: m.bootstrap(5, threads=0)),
            method("coef_table(level=95)", lambda m: m.coef_table(level=95)),
            method('anova(type="IV")', lambda m: m.anova(type="IV")),
            method('contrast("q = 0")', lambda m: m.contrast("q = 0")),
            method("contrast([1, 2])", lambda m: m.contrast([1.0, 2.0])),
            method('emmeans("q")', lambda m: m.emmeans("q")),
            method('confint(method="magic")', lambda m: m.confint(method="magic")),
            method('predict({"x": [1.0]})', lambda m: m.predict({"x": [1.0]})),
            method(
                'predict({"x": [1.0], "s": ["d"], "g": [0]})',
                lambda m: m.predict({"x": [1.0], "s": ["d"], "g": [0]}),
            ),
            method(
                'predict({"x": [1.0], "s": ["a"], "g": [99]})',
                lambda m: m.predict({"x": [1.0], "s": ["a"], "g": [99]}),
            ),
            Bad(
                'mf.lmer("y ~ t + (1 | g)", data).predict({"t": [2], "g": [0]})  # t is True and False',
                lambda: mf.lmer("y ~ t + (1 | g)", a_table(t=np.arange(N) % 4 == 0)).predict(
                    {"t": [2], "g": [0]}
                ),
            ),
            method("refit([1, 2, 3])", lambda m: m.refit([1.0, 2.0, 3.0])),
            method("bootstrap(0)", lambda m: m.bootstrap(0)),
        ],
    ),
    Chapter(
        "Files",
        [
            Bad("mf.load(3)", lambda: mf.load(3)),  # type: ignore[arg-type]
            file("cut off half-way", lambda content: content[: len(content) // 2]),
            file("one bit changed", flipped),
            file("empty", lambda content: b""),
            file("a pickle", lambda content: b"\x80\x04cos\nsystem\n(S'id'\ntR."),
            written(
                'mf.lmer(formula, "table.csv")  # two columns called x',
                TWICE,
                lambda path: mf.lmer(FORMULA, path),
            ),
            command("two columns called x", TWICE),
            command("semicolons", TWICE.replace(",", ";")),
            command("written in UTF-16", TWICE.encode("utf-16")),
            command("no zip", "y", "table.csv.zip"),
            command("no gzip", "y", "table.csv.gz"),
        ],
    ),
]


INTRODUCTION = """\
# Wrong inputs and their error messages

{count} wrong inputs, each with the exact message. Every error derives from `mf.MixedFastError`. This
page is generated by `python tests/helpers/bad_inputs.py` from the list that the tests run, and a test
fails when it is out of date. In the inputs, `formula` is `"y ~ x + (1 | g)"`; `data` has 60 rows with
the numbers `y`, `x`, `w`, the labels `s` and six groups `g`; `m` is
`mf.lmer("y ~ x + s + (1 | g)", data)`.

## What a formula may contain

Formulas are evaluated as Python expressions, but only with restricted contents, so that a formula
from a file or a web form cannot run other code. Allowed are numbers, strings, columns, arithmetic,
comparisons, subscripts, elementwise functions of NumPy as `np.name(x)`, `np.array`, `np.clip`,
`np.digitize`, `np.isin`, `np.round`, `np.where`, contrasts as `contr.name`, and the functions that
the message for `nofunc` below lists. Everything else is refused before anything is evaluated:
attributes and methods, lambdas, comprehensions, f-strings, keyword arguments that begin with an
underscore or write to an array (`out=`).

You can allow functions of your own by name, for the whole process:
`mf.allow_in_formulas(logit=logit)`; `logit=None` removes it. Models store the name, not the function,
so a model that is unpickled in another process needs the function to be allowed there too.

If a file cannot be opened or written, `save`, `load` and `to_html` raise `OSError` with its path
(`FileNotFoundError`, `PermissionError`). An unknown argument of a function raises `TypeError`.

Two limits of this protection: a formula can still need much time and memory, such as
`bs(x, df=50000)`, so limit both if strangers write formulas. And
`mixedfast.compat.statsmodels` evaluates formulas in the namespace of the caller, as statsmodels does;
do not use it for formulas from strangers.
"""


def outcome(bad: Bad) -> tuple[str, str]:
    """Return the name of the error and its message.

    Any other exception, or a warning before it, is raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            bad.run()
        except mf.MixedFastError as error:
            return type(error).__name__, str(error)
    raise AssertionError(f"{bad.shown} was accepted")


def page() -> str:
    """Write the text of docs/bad_input.md."""
    count = sum(len(chapter.inputs) for chapter in CHAPTERS)
    lines = [INTRODUCTION.format(count=count).rstrip()]
    for chapter in CHAPTERS:
        lines += ["", f"## {chapter.title}", "", "| input | error | message |", "|---|---|---|"]
        for bad in chapter.inputs:
            name, message = outcome(bad)
            cells = (_code(bad.shown), f"`{name}`", _text(message))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    fence = "`" * (
        1 + max(map(len, re.findall("`+", text)), default=0)
    )  # longer than any run inside
    return f"{fence} {text} {fence}".replace("|", "\\|")


def _text(text: str) -> str:
    for mark in "\\|`*_<>[]~#{}":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", "<br>")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
