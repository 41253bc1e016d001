"""Python expressions in formulas, and the check that they are only arithmetic.

formulaic evaluates parts of a formula as Python. No formula may run other code, whether it is
typed, read from a file or taken from a web form. So expressions are limited to arithmetic on
columns and to a list of functions, which is checked in the syntax tree before anything is
evaluated. `allow_in_formulas` adds functions to the list.
"""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from types import MappingProxyType
from typing import Any

import numpy as np

from mixedfast._locks import holding
from mixedfast.errors import ArgumentError, FormulaError

__all__ = [
    "WHOLE_COLUMN",
    "Stateful",
    "allow_in_formulas",
    "allowed",
    "check_arithmetic",
    "column_names",
    "expression_tree",
    "functions",
    "modules_used",
    "stateful_calls",
]

#: Transforms that need statistics of a whole column.
WHOLE_COLUMN = frozenset(["bs", "cc", "center", "cr", "cs", "lag", "poly", "scale", "standardize"])

#: Nodes that an expression may contain: none binds a name, loops, or reads attributes of an object.
_ARITHMETIC = (
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BoolOp,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.Subscript,
    ast.Slice,
    ast.Attribute,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.boolop,
    ast.expr_context,
)
#: Names of NumPy that formulas may use besides its ufuncs: they only read their arguments.
_NUMPY = frozenset(
    ["array", "clip", "digitize", "e", "isin", "maximum", "minimum", "pi", "round", "where"]
)
#: Contrasts, which a formula may name without a call.
_CONTRASTS = frozenset(["Diff", "Helmert", "Poly", "Sum", "Treatment"])
#: Functions of formulaic that a formula may call.
_FORMULAIC = (
    WHOLE_COLUMN
    | _CONTRASTS
    | {"C", "I", "Q", "exp", "exp10", "exp2", "hashed", "log", "log10", "log2"}
)
#: Functions that are common in formulas of R and that formulaic lacks.
_FROM_NUMPY: Mapping[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in ("abs", "ceil", "cos", "expm1", "floor", "log1p", "sin", "sqrt", "tan")
}
#: Attributes of `contr`.
_OF_CONTR = frozenset(["SAS", "custom", "diff", "helmert", "poly", "sum", "treatment"])
#: Names whose attributes a formula may use. With a column of that name, the attributes would be
#: those of the column, and methods of pandas columns can write files.
_MODULES = frozenset(["contr", "np"])
#: Largest exponent of a power of constants. Whole numbers have any length in Python: ``9**9**9``
#: would not end.
_LARGEST_POWER = 64
_BUILT_IN = _FORMULAIC | _FROM_NUMPY.keys() | _MODULES

#: What to write instead of functions of R that do not exist here.
_INSTEAD = {
    "ns": "natural splines are cr(x, df=...), with one more df",
    "cut": "make the column first, with pandas.cut",
    "relevel": "write C(f, contr.treatment('level'))",
    "ifelse": "write np.where(condition, a, b)",
    "interaction": "write f:g",
    "s": "smooth terms are not random effects here; write bs(x, df=...) or cr(x, df=...)",
    "cbind": "fit one response at a time",
    "diag": "write (x || g) for uncorrelated effects",
    "us": "write (x | g) for correlated effects",
}
#: Strings and names in backticks as formulaic splits them: the text that is checked must be the
#: text that it evaluates.
_QUOTES = re.compile(r"""(\\"|"(?:\\"|[^"])*"|\\'|'(?:\\'|[^'])*'|`)""")

_lock = threading.Lock()
_allowed: Mapping[str, Callable[..., Any]] = MappingProxyType({})
#: Arguments after the column, for the transforms whose state follows from statistics of the column.
_POSITIONS = {
    "bs": (
        "df",
        "knots",
        "degree",
        "include_intercept",
        "lower_bound",
        "upper_bound",
        "extrapolation",
    ),
    "center": (),
    "scale": ("center", "scale", "ddof"),
    "standardize": ("center", "rescale", "ddof"),
}


@dataclass(frozen=True)
class Stateful:
    """A call of a transform that needs statistics of a whole column.

    Parameters
    ----------
    text : str
        The key of its state in formulaic.
    function : str
    inside : str
        The expression that is transformed.
    arguments : tuple of (name, value)
    """

    text: str
    function: str
    inside: str
    arguments: tuple[tuple[str, Any], ...]


@lru_cache(maxsize=256)
def expression_tree(expr: str) -> tuple[ast.expr, dict[str, str]]:
    """Parse an expression; return its tree, and columns in backticks by their names in the tree.

    Examples
    --------
    >>> tree, names = expression_tree("log(`my var`)")
    >>> ast.unparse(tree), names
    ('log(_quoted0_)', {'_quoted0_': 'my var'})
    """
    source, quoted = _without_backticks(expr)
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:  # the last two: nested too deeply
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
        raise FormulaError(
            f"cannot read {expr!r}: {reason}; write a column's name or Python such as log(x)"
        ) from error
    return tree, quoted


def _without_backticks(expr: str) -> tuple[str, dict[str, str]]:
    """Replace each column in backticks by a placeholder; return the columns by placeholder too."""
    parts, names, source = _QUOTES.split(expr), dict[str, str](), ""
    while parts:
        part = parts.pop(0)
        if part == "`" and "`" in parts:
            end = parts.index("`")
            stand_in = f"_quoted{len(names)}_"
            names[stand_in] = "".join(parts[:end])
            parts, part = parts[end + 1 :], f" {stand_in} "
        source += part
    return source, names


def allow_in_formulas(**functions: Callable[..., Any] | None) -> None:
    """Allow formulas to call functions of yours in this process; ``name=None`` withdraws one.

    Formulas may call only functions that are known to be harmless: arithmetic, elementwise
    functions of NumPy, ``I``, ``C``, ``poly``, ``bs``, ``cr``, ``scale`` and similar ones. Your
    function takes columns as pandas Series and returns one number per row, which must depend on
    that row alone: new data have other rows. Models store the name, not the function. A model that
    is loaded in another process raises an error that names the function, until it is allowed there.

    Parameters
    ----------
    **functions : callable or None

    Raises
    ------
    ArgumentError
        When a value cannot be called, or formulas know the name already.

    Examples
    --------
    >>> import numpy as np, mixedfast as mf
    >>> mf.allow_in_formulas(logit=lambda p: np.log(p / (1 - p)))
    >>> sleep = mf.load_dataset("sleepstudy")
    >>> m = mf.lmer("logit(Reaction / 1000) ~ Days + (1 | Subject)", sleep)
    >>> float(round(m.params["Days"], 4))
    0.0491
    >>> mf.allow_in_formulas(logit=None)
    >>> mf.lmer("logit(Reaction / 1000) ~ Days + (1 | Subject)", sleep)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mixedfast.errors.FormulaError: unknown function 'logit' in 'logit(Reaction / 1000)'; ...
    """
    for name, function in functions.items():
        if name in _BUILT_IN or name.startswith("_"):
            raise ArgumentError(
                f"{name!r} has a meaning in formulas already: allow your function by another name"
            )
        if not name.isidentifier() or iskeyword(name):
            raise ArgumentError(
                f"{name!r} cannot be called in a formula: use letters, digits and underscores"
            )
        if function is not None and not callable(function):
            raise ArgumentError(
                f"{name}={function!r} is not a function: give one that takes columns, or None to "
                "withdraw it"
            )
    holding(_lock, lambda: _allow(functions))


def _allow(functions: Mapping[str, Callable[..., Any] | None]) -> None:
    """Replace the list of functions; a list never changes while it is read."""
    global _allowed
    merged = {**_allowed, **functions}
    _allowed = MappingProxyType(
        {name: function for name, function in merged.items() if function is not None}
    )


def allowed() -> frozenset[str]:
    """Return the names that `allow_in_formulas` has added."""
    return frozenset(_allowed)


def functions() -> dict[str, Callable[..., Any]]:
    """Return by name the functions that formulas may call and that formulaic lacks."""
    return {**_FROM_NUMPY, **_allowed}


def check_arithmetic(expr: str) -> None:
    """Raise FormulaError unless an expression is arithmetic on columns and known functions.

    Examples
    --------
    >>> check_arithmetic("scale(log(x), ddof=0) + np.sqrt(z)")
    >>> check_arithmetic("().__class__")
    Traceback (most recent call last):
    mixedfast.errors.FormulaError: '().__class__' in '().__class__' is more than arithmetic on \
columns: formulas run no code; make the column first, or allow a function with \
mf.allow_in_formulas(name=function)
    """
    tree, names = expression_tree(expr)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and not _may_call(node.func.id)
        ):
            raise _unknown(names.get(node.func.id, node.func.id), expr)
        if (
            isinstance(node, ast.Call)
            and (takes := _takes(node.func)) is not None
            and len(node.args) > takes
        ):
            # NumPy would write the result into the next argument
            called = ast.unparse(node.func)
            hint = "; a logarithm to another base is log(x) / log(base)"
            raise FormulaError(
                f"{called} in {expr!r} takes {takes} column{'s' * (takes > 1)}, not "
                f"{len(node.args)}{hint if called in ('log', 'np.log') else ''}"
            )
        if isinstance(node, ast.BinOp) and _is_endless(node):
            raise FormulaError(
                f"{_named(ast.unparse(node), names)!r} in {expr!r} may never end: "
                "write the number itself"
            )
        if not isinstance(node, _ARITHMETIC) or not _is_harmless(node):
            part = (
                f"the argument {node.arg!r}"
                if isinstance(node, ast.keyword)
                else repr(_named(ast.unparse(node), names))
            )
            raise FormulaError(
                f"{part} in {expr!r} is more than arithmetic on columns: formulas run no code; "
                "make the column first, or allow a function with "
                "mf.allow_in_formulas(name=function)"
            )


def _may_call(name: str) -> bool:
    return name in _FORMULAIC or name in _FROM_NUMPY or name in _allowed


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        if not isinstance(node.value, ast.Name) or node.attr.startswith("_"):
            return False
        if node.value.id == "np":
            return node.attr in _NUMPY or isinstance(getattr(np, node.attr, None), np.ufunc)
        return node.value.id == "contr" and node.attr in _OF_CONTR
    if isinstance(node, ast.Call):
        return isinstance(node.func, (ast.Attribute, ast.Name))
    # out= would write into the user's columns; names with an underscore are internal to formulaic
    if isinstance(node, ast.keyword):
        return node.arg is not None and node.arg != "out" and not node.arg.startswith("_")
    return True


def _takes(function: ast.expr) -> int | None:
    """Return how many columns an elementwise function of NumPy takes; None for other functions."""
    name = (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )
    found = getattr(np, name, None) if name not in _allowed else None
    return found.nin if isinstance(found, np.ufunc) else None


def _is_endless(node: ast.BinOp) -> bool:
    """Return whether an operation on constants alone may give an extremely large value."""
    if isinstance(node.op, ast.Pow):
        return not (
            _has_columns(node) or (isinstance(node.left, ast.Constant) and _is_small(node.right))
        )
    if isinstance(node.op, ast.LShift):
        return True
    sides = (node.left, node.right)
    repeats = isinstance(node.op, (ast.Mult, ast.Mod))
    return repeats and any(
        isinstance(side, (ast.List, ast.Tuple))
        or (isinstance(side, ast.Constant) and isinstance(side.value, (str, bytes)))
        for side in sides
    )


def _is_small(power: ast.expr) -> bool:
    """Return whether an exponent is a constant, such as 3 or -0.5, that is not large."""
    number = power.operand if isinstance(power, ast.UnaryOp) else power
    value = number.value if isinstance(number, ast.Constant) else None
    return isinstance(value, (int, float)) and value <= _LARGEST_POWER


def _has_columns(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Name) for part in ast.walk(node))


def modules_used(expr: str) -> frozenset[str]:
    """Return which of `np` and `contr` an expression uses.

    Examples
    --------
    >>> sorted(modules_used("np.sqrt(x) + np"))
    ['np']
    """
    tree, _ = expression_tree(expr)
    bases = (node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return _MODULES & {base.id for base in bases if isinstance(base, ast.Name)}


def _unknown(name: str, expr: str) -> FormulaError:
    known = ", ".join(sorted(_FORMULAIC | _FROM_NUMPY.keys() | _allowed.keys()))
    advice = _INSTEAD.get(
        name,
        f"known are {known}, and functions of NumPy as np.name(x); "
        f"allow your own with mf.allow_in_formulas({name}=function)",
    )
    return FormulaError(f"unknown function {name!r} in {expr!r}; {advice}")


def column_names(expr: str) -> tuple[str, ...]:
    """Return the columns that an expression uses: its names, except those of functions.

    The expression must have passed `check_arithmetic`.

    Examples
    --------
    >>> column_names("log(x) + `my var` * np.pi"), column_names("Q('x')"), column_names("C(f, Sum)")
    (('x', 'my var'), ('x',), ('f',))
    """
    tree, names = expression_tree(expr)
    found: list[str] = []
    functions: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            functions.add(node.func)
            # Q("my var") names a column by a string
            if isinstance(node.func, ast.Name) and node.func.id == "Q":
                found += [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
        if isinstance(node, ast.Attribute):
            functions.add(node.value)
        if isinstance(node, ast.Name) and node not in functions and node.id not in _CONTRASTS:
            found.append(names.get(node.id, node.id))
    return tuple(dict.fromkeys(found))


def stateful_calls(expr: str) -> Iterator[Stateful]:
    """Yield the calls that need statistics of a whole column, outermost first.

    Examples
    --------
    >>> [(call.text, call.inside) for call in stateful_calls("scale(log(x), ddof=0) * 2")]
    [('scale(log(x), ddof=0)', 'log(x)')]
    """
    tree, names = expression_tree(expr)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in WHOLE_COLUMN
        ):
            text = _named(ast.unparse(node), names)
            if not node.args:
                raise FormulaError(f"{text} has no argument: write {node.func.id}(column)")
            keywords = _literals(node, text)
            yield Stateful(text, node.func.id, _named(ast.unparse(node.args[0]), names), keywords)


def _literals(node: ast.Call, text: str) -> tuple[tuple[str, Any], ...]:
    assert isinstance(node.func, ast.Name)
    positions = _POSITIONS.get(node.func.id)
    if positions is None:
        return ()
    given = [
        *zip(positions, node.args[1:], strict=False),
        *((key.arg or "", key.value) for key in node.keywords),
    ]
    try:
        return tuple((name, ast.literal_eval(value)) for name, value in given)
    except ValueError as error:
        raise FormulaError(f"the arguments of {text} must be constants") from error


def _named(text: str, names: dict[str, str]) -> str:
    for stand_in, name in names.items():
        text = text.replace(stand_in, f"`{name}`")
    return text
