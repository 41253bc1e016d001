"""All numbers of a result, before and after something that must not change them."""

from __future__ import annotations

import numpy as np

import mixedfast as mf


def everything(m: mf.LMMResult) -> list[np.ndarray]:
    """All numbers of a result that a careless refit could reach."""
    cp = m._fit.cp
    parts = [
        m.theta,
        m.params,
        m.vcov(),
        m.fitted,
        m._design.y,
        cp.xy,
        *m._fit.modes,
        *m._fit.posterior,
    ]
    parts += [part for group in cp.groups for part in (group.A, group.B)]
    parts += [np.array([m.criterion, m.sigma])]
    return [np.array(part, copy=True) for part in parts]


def unchanged(m: mf.LMMResult, before: list[np.ndarray]) -> None:
    for now, then in zip(everything(m), before, strict=True):
        np.testing.assert_array_equal(now, then)
