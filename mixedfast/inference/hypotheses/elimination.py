"""Backward elimination of random and fixed terms, one at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mixedfast.crossprod.sub_model import sub_model
from mixedfast.errors import DataError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.formula.parser import RandomTerm, quote, split_sides
from mixedfast.inference.ddf.methods import DDF
from mixedfast.inference.hypotheses.anova import TermTest, deletion_tests
from mixedfast.inference.hypotheses.ranova import RandomTermTest, random_term_tests, reductions

__all__ = ["Elimination", "eliminate"]


@dataclass(frozen=True, eq=False)
class Elimination:
    """The model that backward elimination found, and the tests on the way.

    Parameters
    ----------
    fit : Fit
    random : list of (int, RandomTermTest)
        Each with its place in the order of elimination, 0 for the terms kept. The whole model
        first.
    fixed : list of (int, TermTest)
    """

    fit: Fit
    random: list[tuple[int, RandomTermTest]]
    fixed: list[tuple[int, TermTest]]


def eliminate(
    fit: Fit, alpha_random: float, alpha_fixed: float, ddf: DDF, keep: Collection[str]
) -> Elimination:
    """Leave out random terms, then fixed terms, as long as the largest p value is above alpha.

    Random terms are tested as by `random_term_tests`, fixed terms as by `deletion_tests`. The
    smaller models are fitted from the sums of the larger one, so all have the same rows. The last
    random term stays.

    Parameters
    ----------
    fit : Fit
    alpha_random, alpha_fixed : float
    ddf : str or TraceMethod
    keep : collection of str
        Terms that stay, by the names they have in the tests.

    Raises
    ------
    DataError
        When no term has a name in `keep`.
    """
    random: list[tuple[int, RandomTermTest]] = []
    fixed: list[tuple[int, TermTest]] = []
    seen: set[str] = set()
    while True:
        tests, smaller = random_term_tests(fit), list(reductions(fit.cp))
        random = random or [(0, tests[0])]
        seen |= {test.term for test in tests[1:]}
        worst = max(
            (
                i
                for i, (test, part) in enumerate(zip(tests[1:], smaller, strict=True))
                if part.terms and test.term not in keep and test.p_value > alpha_random
            ),
            key=lambda i: tests[1 + i].p_value,
            default=None,
        )
        if worst is None:
            break
        random.append((len(random), tests[1 + worst]))
        fit = _smaller(fit, _fixed_names(fit), smaller[worst].terms)
    random += [(0, test) for test in tests[1:]]
    while True:
        deletions = deletion_tests(fit, ddf)
        seen |= {test.term for test in deletions}
        out = max(
            (t for t in deletions if t.term not in keep and t.p_value > alpha_fixed),
            key=lambda test: test.p_value,
            default=None,
        )
        if out is None:
            break
        fixed.append((1 + len(fixed), out))
        names = [name for name in _fixed_names(fit) if name != out.term]
        fit = _smaller(fit, names, _random_terms(fit))
    unknown = sorted(set(keep) - seen - set(_fixed_names(fit)))
    if unknown:
        raise DataError(f"keep= names {unknown[0]!r}, and the terms are {', '.join(sorted(seen))}")
    return Elimination(fit, random, fixed + [(0, test) for test in deletions])


def _fixed_names(fit: Fit) -> list[str]:
    return [term.name for term in fit.cp.meta.fixed_terms]


def _random_terms(fit: Fit) -> tuple[RandomTerm, ...]:
    assert fit.cp.meta.recipe is not None  # random_term_tests has asked for it
    return tuple(fit.cp.meta.recipe.random_terms)


def _smaller(fit: Fit, fixed: list[str], random: tuple[RandomTerm, ...]) -> Fit:
    """Fit the model of some of the terms."""
    meta = fit.cp.meta
    offsets = () if meta.recipe is None else meta.recipe.spec.offsets
    named = [name for name in fixed if name != "Intercept"]
    parts = (named or ["1"]) if "Intercept" in fixed else ["0", *named]
    parts += [f"offset({expr})" for expr in offsets]
    parts += [
        f"({term.expr} {'|' if term.correlated else '||'} {':'.join(map(quote, term.factors))})"
        for term in random
    ]
    formula = f"{split_sides(meta.formula)[0]} ~ {' + '.join(parts)}"
    return fit_crossproducts(sub_model(fit.cp, formula), fit.reml, engine=fit.engine_wanted)
