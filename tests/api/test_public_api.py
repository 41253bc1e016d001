"""The public names: each has types, an example, and documents arguments, results and errors."""

from __future__ import annotations

import ast
import functools
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

import mixedfast as mf
from mixedfast.compat import statsmodels as door
from mixedfast.compat.statsmodels.results import MixedLMResults
from mixedfast.report.page import Page
from mixedfast.results import (
    Bootstrap,
    Convergence,
    Influence,
    MarginalMeans,
    OLSResult,
    Plots,
    Profile,
)

#: Classes that users meet without naming them, beside those in ``mixedfast.__all__``.
MET = [OLSResult, Influence, Bootstrap, Profile, MarginalMeans, Plots, Page, Convergence]
EXPORTED = [getattr(mf, name) for name in mf.__all__ if name != "__version__"]
CLASSES = [
    thing for thing in EXPORTED if inspect.isclass(thing) and not issubclass(thing, Exception)
] + MET
FUNCTIONS = [thing for thing in EXPORTED if inspect.isfunction(thing)]


def members(owner: type) -> Iterator[tuple[str, Any]]:
    """Return the public attributes of the package's own classes."""
    seen = set()
    for base in inspect.getmro(owner):
        if base.__module__.startswith("mixedfast"):
            for name, value in vars(base).items():
                if not name.startswith("_") and name not in seen:
                    seen.add(name)
                    yield f"{owner.__name__}.{name}", value


def unwrapped(value: Any) -> Any:
    value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    return inspect.unwrap(value)


def is_method(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, (staticmethod, classmethod))


METHODS = {name: unwrapped(v) for owner in CLASSES for name, v in members(owner) if is_method(v)}
PROPERTIES = {
    name: inspect.unwrap(value.fget if isinstance(value, property) else value.func)
    for owner in CLASSES
    for name, value in members(owner)
    if isinstance(value, (property, functools.cached_property))
}
CALLABLES: dict[str, Callable[..., Any]] = {
    thing.__name__: inspect.unwrap(thing) for thing in FUNCTIONS
} | METHODS


def raises_itself(function: Callable[..., Any]) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def sections(text: str) -> set[str]:
    lines = inspect.cleandoc(text).splitlines()
    return {a for a, b in pairwise(lines) if b and set(b) == {"-"} and len(b) == len(a)}


def lacking(function: Callable[..., Any]) -> list[str]:
    """Return what a docstring and a signature leave out."""
    signature = inspect.signature(function)
    given = [p for name, p in signature.parameters.items() if name not in ("self", "cls")]
    text = function.__doc__ or ""
    found = sections(text)
    out = []
    if given and "Parameters" not in found:
        out.append("Parameters")
    if signature.return_annotation not in (None, "None") and not {"Returns", "Yields"} & found:
        out.append("Returns")
    if raises_itself(function) and "Raises" not in found:
        out.append("Raises")
    if "Examples" not in found or ">>>" not in text:
        out.append("Examples")
    out += [f"type of {p.name}" for p in given if p.annotation is p.empty]
    if signature.return_annotation is signature.empty:
        out.append("type of what it returns")
    unnamed = [p.name for p in given if p.name not in text]
    return out + [f"a word on {name}" for name in unnamed]


@pytest.mark.parametrize("name", CALLABLES)
def test_a_callable_says_it_all(name: str) -> None:
    assert lacking(CALLABLES[name]) == []


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_says_what_it_is(name: str) -> None:
    function = PROPERTIES[name]
    assert (function.__doc__ or "").strip()
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_a_class_says_what_it_is(owner: type) -> None:
    assert inspect.cleandoc(owner.__doc__ or "")


def test_the_statsmodels_door_has_words_too() -> None:
    for thing in (door.mixedlm, door.MixedLM, MixedLMResults):
        assert sections(thing.__doc__ or "")


def test_the_surface_is_what_is_promised() -> None:
    """A walk that finds nothing proves nothing."""
    assert len(CALLABLES) > 80 and len(PROPERTIES) > 40
    assert {"lmer", "LMMResult.predict", "OLSResult.tidy", "CrossProducts.save", "Plots.qq"} <= set(
        CALLABLES
    )
    assert all(name in dir(mf) and getattr(mf, name) is not None for name in mf.__all__)


def test_a_walk_notices_what_is_missing() -> None:
    def silent(x, count: int) -> int:  # type: ignore[no-untyped-def]
        """Says little about x and nothing on the other."""
        if x:
            raise ValueError(x)
        return count

    missing = ["Parameters", "Returns", "Raises", "Examples", "type of x", "a word on count"]
    assert lacking(silent) == missing


def test_results_are_public_and_imported_at_first_use() -> None:
    from mixedfast import results

    assert dir(results) == sorted(results.__all__)
    assert {getattr(results, name).__name__ for name in results.__all__} == set(results.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        results.Nothing  # noqa: B018
    heavy = "import sys, mixedfast.results; print({'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
