"""Comparisons of marginal means at a glance: compact letters, and the panels of pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfast.inference.hypotheses.comparison_arrows import comparison_arrows
from mixedfast.inference.hypotheses.emmeans import GridMeans
from mixedfast.inference.hypotheses.letters import compact_letters
from mixedfast.inference.hypotheses.mean_tests import (
    GridContrasts,
    contrast_means,
    families,
    mean_estimates,
)

__all__ = ["MeanPanel", "mean_letters", "mean_panels"]


@dataclass(frozen=True, eq=False)
class MeanPanel:
    """The means of one family as they are drawn.

    Parameters
    ----------
    title : str
    labels : tuple of str, length m
    mean, low, high : (m,) arrays
        Means and the ends of their intervals.
    left, right : (m,) arrays
        Ends of the comparison arrows; NaN where there is none.
    contradicted : tuple of str
        Pairs for which the arrows contradict the test.
    """

    title: str
    labels: tuple[str, ...]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    left: np.ndarray
    right: np.ndarray
    contradicted: tuple[str, ...]


def mean_letters(means: GridMeans, alpha: float, adjust: str | None) -> list[str]:
    """Assign compact letters to the means of each family; the smallest mean has the first."""
    estimate = mean_estimates(means)[_estimate_of(means)]
    pairs = contrast_means(means, "pairwise", adjust)
    first, second = _ends(pairs)
    differ = np.zeros((len(estimate), len(estimate)), dtype=bool)
    differ[first, second] = differ[second, first] = pairs.tests["p_value"] < alpha
    out = [""] * len(estimate)
    for members in families(means).values():
        known = [i for i in members if np.isfinite(estimate[i])]
        found = compact_letters(sorted(known, key=lambda i: float(estimate[i])), differ)
        for i in members:
            out[i] = found[i]
    return out


def mean_panels(means: GridMeans, comparisons: bool, adjust: str | None) -> list[MeanPanel]:
    """Find the numbers of a picture of the means, one panel per family."""
    shown = mean_estimates(means)
    eta = mean_estimates(replace(means, on_response=False))[means.statistic]
    left, right = np.full((2, len(eta)), np.nan)
    wrong: list[tuple[int, int]] = []
    if comparisons:
        pairs = contrast_means(means, "pairwise", adjust)
        first, second = _ends(pairs)
        tests = pairs.tests
        high, estimate = tests["conf_high"], tests[next(iter(tests))]
        limit = np.log(high / estimate) / _log_base(means) if _as_ratios(pairs) else high - estimate
        for members in families(means).values():
            place = {mean: i for i, mean in enumerate(members)}
            inside = np.array([i in place for i in first.tolist()], dtype=bool)
            own = np.array(members)
            arrows = comparison_arrows(
                eta[own],
                np.array([place[i] for i in first[inside].tolist()], dtype=int),
                np.array([place[j] for j in second[inside].tolist()], dtype=int),
                limit[inside],
            )
            wrong += [(members[i], members[j]) for i, j in arrows.contradicted]
            length = np.where(arrows.length > 0.0, arrows.length, np.nan)
            left[own], right[own] = eta[own] - length, eta[own] + length
            if np.isfinite(eta[own]).any():  # there is nothing beyond the smallest and the largest
                left[own[np.nanargmin(eta[own])]] = np.nan
                right[own[np.nanargmax(eta[own])]] = np.nan
        if means.on_response and means.transformation and means.transformation.inverse:
            left, right = means.transformation.inverse(left), means.transformation.inverse(right)
    labels = [" ".join(map(str, row[: len(means.specs)])) or "overall" for row in means.levels]
    return [
        MeanPanel(
            title=", ".join(f"{n} = {v}" for n, v in zip(means.by, by, strict=True)),
            labels=tuple(labels[i] for i in members),
            mean=shown[_estimate_of(means)][members],
            low=shown["conf_low"][members],
            high=shown["conf_high"][members],
            left=left[members],
            right=right[members],
            contradicted=tuple(f"{labels[i]} - {labels[j]}" for i, j in wrong if i in members),
        )
        for by, members in families(means).items()
    ]


def _estimate_of(means: GridMeans) -> str:
    return "response" if means.on_response else means.statistic


def _ends(pairs: GridContrasts) -> tuple[Any, Any]:
    """Return the two means of each difference."""
    return pairs.weights.argmax(axis=1), pairs.weights.argmin(axis=1)


def _as_ratios(pairs: GridContrasts) -> bool:
    return "estimate" not in pairs.tests


def _log_base(means: GridMeans) -> float:
    return float(np.log(means.transformation.base)) if means.transformation is not None else 1.0
