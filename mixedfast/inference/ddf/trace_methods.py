"""Traces of products of K = Z'V0^-1 Z, for second derivatives and the method of Kenward and Roger.

Exact traces need a dense matrix as large as the crossed factors that remain after elimination; its
memory is estimated first. Where it is too much, random probes estimate the traces
(`mixedfast.engines.stochastic_traces`). Their relative error is about ``sqrt(2 / (probes
levels))``, so it is smallest where probes are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mixedfast._progress import bar
from mixedfast._validation import check_count, check_seed, memory
from mixedfast.engines.stochastic_traces import probed
from mixedfast.errors import ArgumentError, NotDefinedError, warn
from mixedfast.estimation.pls import PLSSystem

__all__ = [
    "KenwardRoger",
    "PairTraces",
    "SampledTraces",
    "Satterthwaite",
    "TraceMethod",
    "pair_traces",
    "warn_if_long",
]

PairTraces = dict[tuple[int, int], np.ndarray]
"""(g, h), g <= h -> sum_ij K_ij[b,c] K_ij[a,d] over levels i of g and j of h, (K_g,K_g,K_h,K_h)."""

#: The share of the memory of the machine that exact traces may take.
_MEMORY_SHARE = 0.5
#: Operations of exact traces that are refused, about a day of one core.
_MOST_OPERATIONS = 1e15
#: A warning precedes work of more operations than this. A core does the second number in a second
#: of large products (solves with sparse factors are slower).
_LONG_OPERATIONS = 5e11
_OPERATIONS_A_SECOND = 1e10
#: Batches of probes: a jackknife over them gives the standard error of the df.
_BATCHES = 20


@dataclass(frozen=True)
class TraceMethod:
    """A df method with settings for its traces, as a value of ``ddf=``.

    Parameters
    ----------
    traces : {"exact", "stochastic"}
        Exact, or estimated with random probes. All other quantities are exact.
    probes : int
        Random vectors per grouping factor, at least 20.
    seed : int
        The same seed gives the same numbers.

    Raises
    ------
    ArgumentError
        For another value of `traces` or fewer than 20 probes.
    """

    traces: str = "exact"
    probes: int = 200
    seed: int = 0

    name: ClassVar[str]

    def __post_init__(self) -> None:
        if self.traces not in ("exact", "stochastic"):
            raise ArgumentError(f'traces={self.traces!r}: "exact" or "stochastic"')
        check_seed(self.seed)
        if check_count("probes", self.probes) < _BATCHES:
            raise ArgumentError(
                f"probes={self.probes}: at least {_BATCHES} are needed for a standard error"
            )

    def __str__(self) -> str:
        how = (
            ""
            if self.traces == "exact"
            else f" (traces from {self.probes} probes, seed {self.seed})"
        )
        return self.name + how


class KenwardRoger(TraceMethod):
    """The method of Kenward and Roger with settings for its traces, as a value of ``ddf=``.

    ``ddf="kenward-roger"`` has exact traces. Stochastic traces are for crossed factors too large
    for exact ones; tables then have a last column ``df_std_error``, the standard error of the df
    from the probes (a jackknife over them).

    Parameters
    ----------
    traces : {"exact", "stochastic"}
    probes : int
        Random vectors per grouping factor, at least 20.
    seed : int

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("penicillin"))
    >>> ddf = mf.KenwardRoger(traces="stochastic", probes=20, seed=1)
    >>> m.coef_table(ddf=ddf).columns.tolist()[-1]
    'df_std_error'
    """

    name = "kenward-roger"


@dataclass(frozen=True)
class Satterthwaite(TraceMethod):
    """Satterthwaite's method with its settings, as a value of ``ddf=``.

    Parameters
    ----------
    traces, probes, seed
        For the traces of the Hessian; see `KenwardRoger`.
    joint : {"eigenvectors", "invariant"}
        The df of joint tests. ``"eigenvectors"``: those of lmerTest, from single contrasts along
        the eigenvectors of the covariance of L beta (Fai and Cornelius 1996). They depend on how
        the hypothesis is written, so on the contrasts of the factors. ``"invariant"``: one number
        for one hypothesis, ``2 q / A2`` with A2 of Kenward and Roger (1997, Biometrics 53, p. 986)
        from the observed information. It is the df of which F has the mean ``1 / (1 - A2 / q)``
        that Kenward and Roger derive, and Satterthwaite's df for q = 1.

    Raises
    ------
    ArgumentError
        For another value of `traces` or `joint`, or fewer than 20 probes.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cake = mf.load_dataset("cake")
    >>> m = mf.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    >>> m.anova(ddf=mf.Satterthwaite(joint="invariant")).den_df.round(6).tolist()
    [42.0, 210.0, 210.0]
    """

    joint: str = "eigenvectors"

    name = "satterthwaite"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint not in ("eigenvectors", "invariant"):
            raise ArgumentError(f'joint={self.joint!r}: "eigenvectors" or "invariant"')

    def __str__(self) -> str:
        return super().__str__() + (" (invariant joint df)" if self.joint == "invariant" else "")


class SampledTraces(NamedTuple):
    """Traces, and the same without each batch of probes (none when exact)."""

    mean: PairTraces
    without: list[PairTraces]


def pair_traces(system: PLSSystem, how: TraceMethod) -> SampledTraces:
    """Compute the traces at the theta last solved.

    Parameters
    ----------
    system : PLSSystem
    how : TraceMethod

    Raises
    ------
    NotDefinedError
        When exact traces would not fit into memory.
    """
    if how.traces == "stochastic":
        return _probed(system, how)
    _check_cost(system, how)
    return SampledTraces(system.pair_traces(), [])


def _check_cost(system: PLSSystem, how: TraceMethod) -> None:
    """Check the memory and the time of exact traces.

    Raises
    ------
    NotDefinedError
        When they do not fit into memory or would take days; the message has the size and the
        alternative.

    Warns
    -----
    UserWarning
        When they take minutes.
    """
    if system.traces.trace_operations() > _MOST_OPERATIONS:
        raise NotDefinedError(
            f"{how.name}: the exact traces of the crossed factors "
            f"{', '.join(g.name for g in system.cp.groups)} would take days: use "
            f'ddf=mixedfast.{type(how).__name__}(traces="stochastic"), which takes a few '
            'solves per probe and reports its standard error, or ddf="asymptotic"'
        )
    needed, there = system.traces.trace_bytes(), memory()
    if needed > _MEMORY_SHARE * there:
        size = sum(group.n_levels * group.k for group in system.cp.groups)
        raise NotDefinedError(
            f"{how.name}: the exact traces of the crossed factors "
            f"{', '.join(g.name for g in system.cp.groups)} "
            f"({size} random effects) need {needed / 2**30:.3g} GiB, and this machine has "
            f"{there / 2**30:.3g}: use "
            f'ddf=mixedfast.{type(how).__name__}(traces="stochastic"), which takes a few '
            "solves per probe and reports its standard error"
        )
    warn_if_long(
        f"{how.name}: the exact traces of the crossed factors "
        f"{', '.join(g.name for g in system.cp.groups)}",
        system.traces.trace_operations(),
        f", and {needed / 2**30:.2g} GiB. "
        f'ddf=mixedfast.{type(how).__name__}(traces="stochastic") takes a few solves per probe '
        "and reports its standard error.",
    )


def warn_if_long(what: str, operations: float, further: str) -> None:
    """Warn of work that takes a minute or more.

    Parameters
    ----------
    what : str
        In the plural.
    operations : float
    further : str
        The rest of the sentence, and a faster alternative.
    """
    if operations > _LONG_OPERATIONS:
        warn(
            f"{what} take about {operations:.0e} operations, "
            f"{operations / _OPERATIONS_A_SECOND / 60.0:.0f} minutes or more of one core{further}"
        )


def _probed(system: PLSSystem, how: TraceMethod) -> SampledTraces:
    """Estimate the traces from random probes, with and without each batch of them."""
    groups, probes, multiply = system.cp.groups, how.probes, system.traces.times_k
    # a probe is taken at each component of its factor
    solves = sum(min(probes, group.n_levels) * group.k for group in groups)
    with bar(solves, f"{how.name}: probes", unit=" solves") as advance:

        def counted(columns: list[np.ndarray]) -> list[np.ndarray]:
            """Multiply by K and count the columns."""
            product = multiply(columns)
            advance(columns[0].shape[-1])
            return product

        batches = probed(counted, groups, probes, probes, _BATCHES, how.seed).pairs
    mean = {key: part.mean(axis=0) for key, part in batches.items()}
    without = [
        {
            key: mean[key] if len(part) == 1 else np.delete(part, i, axis=0).mean(axis=0)
            for key, part in batches.items()
        }
        for i in range(_BATCHES)
    ]
    return SampledTraces(mean, without)
