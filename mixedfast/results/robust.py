"""The arguments ``vcov=`` and ``cluster=`` of tests: cluster-robust covariances of a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mixedfast._validation import check_choice
from mixedfast.crossprod.cluster_sums import sums_of_clusters
from mixedfast.errors import ArgumentError, DataError, NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.least_squares import LeastSquares
from mixedfast.inference.ddf.cluster_robust import KINDS, ClusterRobust, cluster_robust

if TYPE_CHECKING:
    from mixedfast.design.types import Design
    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.results.base import Fitted

__all__ = ["df_method_with", "robust_covariance"]


def df_method_with(
    m: Fitted, ddf: DDF, vcov: str | None, cluster: str | None, default: str = "satterthwaite"
) -> DDF:
    """Return the method of the tests: `ddf`, or tests with the covariance `vcov`.

    Raises
    ------
    ArgumentError
        For a cluster without `vcov`, or a df method beside it.
    """
    if vcov is None:
        if cluster is not None:
            raise ArgumentError(f'cluster={cluster!r} needs vcov=, for instance vcov="CR2"')
        return ddf
    if ddf != default:
        raise ArgumentError(
            f"ddf={ddf!r} beside vcov={vcov!r}: tests with a cluster-robust covariance have their "
            "own Satterthwaite df (HTZ for joint tests); leave ddf= out"
        )
    return robust_covariance(m, vcov, cluster)


def robust_covariance(m: Fitted, kind: str, cluster: str | None) -> ClusterRobust:
    """Compute a cluster-robust covariance, once per fit, kind and cluster.

    Parameters
    ----------
    m : Fitted
    kind : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}
    cluster : str or None
        A grouping factor or another column; None for the grouping factor with the fewest levels.
    """
    check_choice("vcov", kind, KINDS)
    if not isinstance(m._fit, Fit | LeastSquares):
        raise NotDefinedError(
            f"vcov={kind!r} is for linear models: a generalized model has no working covariance of "
            "the response itself"
        )
    name = _cluster_name(m, cluster)

    def make() -> ClusterRobust:
        cp = m._fit.cp
        codes_of, labels = _codes(m, name)
        sums = sums_of_clusters(cp, m._designs("vcov"), codes_of, labels, name)
        return cluster_robust(m._fit, sums, kind, name)

    found: ClusterRobust = m._fit.memo(f"{kind} by {name}", make)
    return found


def _cluster_name(m: Fitted, cluster: str | None) -> str:
    """Return the name of the clusters."""
    if cluster is not None:
        return cluster
    if not m._fit.cp.groups:
        raise ArgumentError('a regression has no groups: give cluster=, such as cluster="school"')
    return m._fit.cp.groups[-1].name


def _codes(m: Fitted, name: str) -> tuple[Callable[[Design], np.ndarray], np.ndarray]:
    """Return a function from rows to their clusters, and the labels of the clusters."""
    groups = m._fit.cp.groups
    wanted = sorted(part.strip() for part in str(name).split(":"))
    same = [group for group in groups if sorted(group.name.split(":")) == wanted]
    if same:
        own = same[0].name

        def of_factor(design: Design) -> np.ndarray:
            return next(term.codes for term in design.terms if term.group == own)

        return of_factor, np.asarray(same[0].levels)
    if m.is_streamed:
        known = ", ".join(group.name for group in groups)
        raise DataError(
            f"cluster={name!r}: the rows are not in memory, so clusters must be a grouping factor "
            f"of the model ({known}); fit the table in memory"
        )
    _, codes, labels = m._levels_of(name, m._rows("vcov"), "cluster")
    return lambda design: codes, labels
