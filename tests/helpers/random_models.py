"""Random mixed models, fitted by the package and by dense algebra, and how far the two differ.

Unbalanced designs with empty cells, weights, contrasts of every kind, singular fits, and units of
the response and the covariates between 1e-6 and 1e6. The dense side has the n x n covariance matrix
(`DenseModel`), a basis of the fixed part made of cells and covariates, hypotheses in rational
arithmetic (`expected_hypotheses`), and an optimizer of SciPy. It shares no formula, no coding and
no search with the package.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from helpers.estimable_functions import Effect, expected_hypotheses
from helpers.reference_kernels import product_of
from helpers.reference_model import DenseModel, KenwardRoger, dense_model
from scipy.optimize import minimize

import mixedfast as mf

__all__ = ["TOLERANCES", "Case", "compare", "draw", "fitted", "worst"]

#: Largest differences, in units that `compare` names. Dense inverses of matrices with condition
#: numbers up to 1e5 leave 1e-9; degrees of freedom divide by differences of them.
TOLERANCES = {
    "criterion": 1e-8,
    "optimum": 1e-6,
    "sigma": 1e-8,
    "fixed effects": 1e-8,
    "standard errors": 1e-8,
    "random effects": 1e-8,
    "F": 1e-6,
    "numerator df": 0.0,
    "satterthwaite df": 1e-5,
    "satterthwaite joint df": 1e-5,
    "kenward-roger F": 1e-5,
    "kenward-roger df": 1e-5,
    "emmeans": 1e-8,
    "emmeans std errors": 1e-6,
    "emmeans df": 1e-5,
    "pairs": 1e-8,
    "pairs std errors": 1e-6,
    "pairs df": 1e-5,
    "not estimable": 0.0,
}

FIXED = {
    "x": "x",
    "f": "f",
    "f + x": "f x",
    "f * x": "f x f:x",
    "f + h": "f h",
    "f * h": "f h f:h",
    "h * f + x": "h f x h:f",
    "f:h": "f:h",
    "h + f:h": "h f:h",
    "x * z + f": "x z f x:z",
    "f * h * x": "f h x f:h f:x h:x f:h:x",
    "f * h + h:x + x": "f h x f:h h:x",
}
RANDOM = (
    "(1 | g)",
    "(x | g)",
    "(x || g)",
    "(0 + x | g)",
    "(x + z | g)",
    "(1 | g) + (1 | b)",
    "(1 | b / g)",
    "(x | g) + (1 | b)",
    "(1 | g) + (0 + x | b)",
)
#: Restricted Hessians and information matrices beyond this have no digits to compare.
WORST_CONDITION = 1e7
#: A trace or gradient up to this fraction of its terms is zero.
ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Case:
    """A model and its data; covariates are whole numbers times ``units``."""

    formula: str
    effects: tuple[Effect, ...]
    data: pd.DataFrame
    units: dict[str, float]
    contrasts: dict[str, str]
    weighted: bool
    reml: bool


def draw(seed: int) -> Case:
    """Draw a case."""
    rng = np.random.default_rng(seed)
    fixed = str(rng.choice(list(FIXED)))
    random = str(rng.choice(RANDOM))
    levels = {"f": int(rng.integers(2, 5)), "h": int(rng.integers(2, 4))}
    n, groups, blocks = int(rng.integers(36, 61)), int(rng.integers(6, 11)), int(rng.integers(4, 6))
    cells = list(itertools.product(range(levels["f"]), range(levels["h"])))
    kept = [cell for cell in cells if rng.uniform() < rng.choice([0.6, 1.0])]
    kept = kept if len(kept) >= 2 else cells
    cell = np.array(kept)[rng.integers(0, len(kept), n)]
    units = {name: float(rng.choice([1e-6, 1e-3, 1.0, 1e3, 1e6])) for name in ("x", "z", "y")}
    whole = {name: rng.integers(-4, 5, n) for name in ("x", "z")}
    g, b = rng.permutation(np.arange(n) % groups), rng.permutation(np.arange(n) % blocks)
    spread = float(rng.choice([0.0, 0.3, 1.0, 3.0, 30.0]))
    y = rng.normal(size=n) + 0.3 * cell[:, 0] + 0.1 * whole["x"]
    y += spread * (rng.normal(size=groups)[g] + 0.4 * rng.normal(size=groups)[g] * whole["x"])
    y += spread * rng.normal(size=blocks)[b]
    data = pd.DataFrame(
        {
            "f": np.char.add("f", cell[:, 0].astype(str)),
            "h": np.char.add("h", cell[:, 1].astype(str)),
            "g": np.char.add("g", g.astype(str)),
            "b": np.char.add("b", b.astype(str)),
            "x": whole["x"] * units["x"],
            "z": whole["z"] * units["z"],
            "y": y * units["y"],
            "w": rng.choice([0.25, 0.5, 1.0, 2.0, 4.0], n),
        }
    )
    codings = {name: rng.choice(["treatment", "sum", "helmert", "poly"]) for name in ("f", "h")}
    used = {part for name in FIXED[fixed].split() for part in name.split(":")}
    return Case(
        f"y ~ {fixed} + {random}",
        tuple(
            Effect(frozenset({*"fh"} & {*name.split(":")}), frozenset({*"xz"} & {*name.split(":")}))
            for name in FIXED[fixed].split()
        ),
        data,
        units,
        {name: str(coding) for name, coding in codings.items() if name in used},
        bool(rng.uniform() < 0.4),
        bool(rng.uniform() < 0.75),
    )


def fitted(case: Case) -> Any:
    """Return the fit of the package, or None for a model that it refuses or calls not identified."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.MixedFastWarning)
        try:
            m = mf.lmer(
                case.formula,
                case.data,
                REML=case.reml,
                weights="w" if case.weighted else None,
                contrasts=case.contrasts or None,
            )
        except (mf.NotIdentifiedError, mf.DataError):
            return None
    return m if m.converged and not m.not_identified else None


def compare(case: Case, m: Any) -> dict[str, float]:
    """Return the largest difference of each quantity of `TOLERANCES` that the case has.

    Criterion and optimum are in units of the deviance; estimates in units of their standard errors;
    random effects of sigma; numerator df and quantities that are missing on one side only are
    counted; all others are relative.
    """
    return _Comparison(case, m).run()


def worst(seeds: Iterable[int]) -> tuple[int, dict[str, tuple[int, float, int]]]:
    """Compare the cases of some seeds.

    Returns
    -------
    int
        Number of models that were compared; the others were refused by name.
    dict
        Quantity -> number of models that have it, largest difference, seed of that.
    """
    compared, found = 0, dict.fromkeys(TOLERANCES, (0, 0.0, -1))
    for seed in seeds:
        case = draw(seed)
        m = fitted(case)
        if m is None:
            continue
        compared += 1
        for name, difference in compare(case, m).items():
            count, largest, at = found[name]
            larger = not difference <= largest
            found[name] = (
                count + 1,
                difference if larger else largest,
                seed if larger or at < 0 else at,
            )
    return compared, found


class _Comparison:
    """The differences between a fit and dense algebra."""

    def __init__(self, case: Case, m: Any) -> None:
        self.case, self.m = case, m
        self.found: dict[str, float] = {}
        data, units = case.data, case.units
        self.rows = [
            {
                "f": row.f,
                "h": row.h,
                "x": round(row.x / units["x"]),
                "z": round(row.z / units["z"]),
            }
            for row in data.itertuples()
        ]
        self.cells = _cells(case.effects, self.rows)
        basis, self.scales, turn = np.linalg.svd(self.cells, full_matrices=False)
        rank = int((self.scales > 1e-9 * self.scales[0]).sum())
        self.X, self.turn = basis[:, :rank], turn[:rank].T / self.scales[:rank]
        given = dense_model(m._design, case.reml)
        of_column = [_units_of(term.columns, data, units) for term in m._design.terms]
        # Z in units of the whole numbers, theta to match, y in units of its own
        self.dense = replace(
            given, X=self.X, y=data["y"].to_numpy() / units["y"], Z=_in_units(given, of_column)
        )
        self.theta = m.theta * _theta_units(given, of_column)
        self.X_package = np.column_stack([product_of(c, len(data)) for c in m._design.x])
        self.X_package = self.X_package[:, m._fit.cp.kept]

    def note(self, what: str, found: Any, expected: Any, scale: Any = None) -> None:
        """Keep the largest difference, relative to the expected values unless `scale` is given."""
        found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
        missing = np.isnan(found) != np.isnan(expected)
        self.keep("not estimable", float(missing.sum()))
        size = np.abs(expected) if scale is None else np.asarray(scale)
        both_infinite = np.isinf(found) & np.isinf(expected)
        with np.errstate(invalid="ignore"):
            each = np.where(both_infinite, 0.0, np.abs(found - expected) / size)
        self.keep(what, float(np.nan_to_num(each, nan=0.0).max(initial=0.0)))

    def keep(self, what: str, difference: float) -> None:
        self.found[what] = max(self.found.get(what, 0.0), difference)

    def run(self) -> dict[str, float]:
        """Compare everything."""
        case, m, dense = self.case, self.m, self.dense
        self.here = dense.solve(self.theta)
        unit, nu = case.units["y"], dense.nu
        shift = 2.0 * nu * np.log(unit)
        if case.reml:  # log|X'V^-1 X| in the columns of the package
            size = np.linalg.norm(self.X_package, axis=0)
            shift += 2.0 * np.linalg.slogdet(self.X.T @ (self.X_package / size))[1]
            shift += 2.0 * float(np.log(size).sum())
        self.keep("criterion", abs(m.criterion - shift - self.here.deviance))
        self.keep("optimum", max(0.0, self.here.deviance - self.lowest()))
        self.note("sigma", m.sigma / unit, self.here.sigma)
        means = m.predict(re=False, se=True)
        se = np.sqrt(np.einsum("ij,jk,ik->i", self.X, self.here.vcov, self.X))
        self.note("fixed effects", means["fit"] / unit, self.X @ self.here.beta, se)
        self.note("standard errors", means["se"] / unit, se)
        effects = self.X @ self.here.beta
        for Z, modes in zip(dense.Z, self.here.modes, strict=True):
            effects = effects + np.einsum("ija,ja->i", Z, modes)
        self.note("random effects", m.fitted / unit, effects, self.here.sigma)
        self.A = self.covariance()
        self.kr = self.kenward_roger() if case.reml else None
        self.terms()
        self.one_basis()
        for factor in {*"fh"} & set(case.contrasts):
            self.means(factor)
        return self.found

    def lowest(self) -> float:
        """Return the lowest criterion that SciPy finds, from the estimates and from elsewhere."""
        dense = self.dense
        bounds = [
            (0.0, None) if row == column else (None, None) for _, row, column in dense._places
        ]
        diagonal = np.array([low == 0.0 for low, _ in bounds])
        starts = [np.maximum(self.theta, np.where(diagonal, 0.01, -np.inf)), diagonal * 1.0]
        return min(
            float(
                minimize(
                    lambda theta: dense.solve(theta).deviance,
                    start,
                    jac=dense.gradient,
                    method="L-BFGS-B",
                    bounds=bounds,
                    options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 200},
                ).fun
            )
            for start in starts
        )

    # --- degrees of freedom ---

    def covariance(self) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """Return the covariance of (theta, sigma) and the derivatives of V in them.

        Parameters in which V does not change to first order, those of a zero column of Lambda, are
        known. None where the information is nearly singular.
        """
        dense, sigma = self.dense, self.here.sigma
        first, _ = dense._derivatives(self.theta, sigma)
        lambdas = dense.lambdas(self.theta)
        free = [bool(np.abs(lambdas[g][:, column]).max() > 0.0) for g, _, column in dense._places]
        free = np.flatnonzero([*free, True])
        H = dense.information(self.theta, sigma)[np.ix_(free, free)]
        size = np.sqrt(np.abs(np.diag(H)))
        if not (size > 0).all() or np.linalg.cond(H / np.outer(size, size)) > WORST_CONDITION:
            return None
        inverse = np.linalg.inv(H / np.outer(size, size)) / np.outer(size, size)
        return 2.0 * inverse, [first[i] for i in free]

    def kenward_roger(self) -> KenwardRoger | None:
        """Return the matrices of Kenward and Roger; None where the information is singular."""
        kr = self.dense.kenward_roger(self.theta, self.here.sigma)
        size = np.sqrt(np.abs(np.diag(kr.W)))
        with np.errstate(all="ignore"):
            good = np.linalg.cond(kr.W / np.outer(size, size)) < WORST_CONDITION
        return kr if good else None

    def gradients(self, L: np.ndarray) -> np.ndarray:
        """Return d(L Phi L') / d(parameter), (m, q, q)."""
        assert self.A is not None
        sigma = self.here.sigma
        inverse = np.linalg.inv(sigma**2 * self.dense.relative_covariance(self.theta))
        D = inverse @ self.X @ self.here.vcov @ L.T
        return np.array([D.T @ V @ D for V in self.A[1]])

    def single_df(self, row: np.ndarray) -> float:
        """Return Satterthwaite's df of one row."""
        assert self.A is not None
        g = self.gradients(row[None])[:, 0, 0]
        f = float(row @ self.here.vcov @ row)
        spread = float(g @ self.A[0] @ g)
        return 2.0 * f**2 / spread if spread > 0 else np.inf

    def invariant_df(self, L: np.ndarray) -> float:
        """Return 2 q / A2."""
        assert self.A is not None
        inverse = np.linalg.inv(L @ self.here.vcov @ L.T)
        parts = [inverse @ G for G in self.gradients(L)]
        A2 = sum(w * np.trace(parts[i] @ parts[j]) for (i, j), w in np.ndenumerate(self.A[0]))
        return float(2.0 * len(L) / A2)

    def eigenvector_df(self, L: np.ndarray) -> float:
        """Return the df of Fai and Cornelius, with the rules of lmerTest."""
        _, vectors = np.linalg.eigh(L @ self.here.vcov @ L.T)
        nu = np.array([self.single_df(v @ L) for v in vectors.T])
        if np.ptp(nu) < 1e-8:
            return float(nu.mean())
        if (nu <= 2.0).any():
            return 2.0
        E = float((nu / (nu - 2.0)).sum())
        return 2.0 * E / (E - len(L))

    def kr_test(self, L: np.ndarray) -> tuple[float, float]:
        """Return the scaled F and its df."""
        kr, beta = self.kr, self.here.beta
        assert kr is not None
        inner = np.linalg.inv(L @ kr.Phi @ L.T)
        parts = [inner @ L @ kr.Phi @ P @ kr.Phi @ L.T for P in kr.P]
        traces = np.array([np.trace(part) for part in parts])
        A1 = float(traces @ kr.W @ traces)
        A2 = sum(w * np.trace(parts[i] @ parts[j]) for (i, j), w in np.ndenumerate(kr.W))
        if len(L) == 1 or abs(A1 - len(L) * A2) < ROUNDING * abs(A1):
            F = float(L @ beta @ np.linalg.solve(L @ kr.vcov @ L.T, L @ beta)) / len(L)
            return F, 2.0 * len(L) / float(A2)
        return kr.f_test(L, L @ beta)

    # --- tests ---

    def terms(self) -> None:
        """Compare the F tests of types I, II and III."""
        case, m = self.case, self.m
        effects = [Effect(frozenset()), *case.effects]
        invariant = mf.Satterthwaite(joint="invariant")
        for type in ("I", "II", "III"):
            rational = expected_hypotheses(effects, self.rows, type)[1:]
            table = m.anova(type, ddf=invariant)
            kr = m.anova(type, ddf="kenward-roger") if self.kr is not None else None
            by_parts = {frozenset(name.split(":")): name for name in table.index}
            for effect, M in zip(case.effects, rational, strict=True):
                name = by_parts[effect.factors | effect.covariates]
                row = table.loc[name]
                L = _independent(np.array(M, dtype=float).reshape(-1, len(self.rows)) @ self.X)
                if not len(L):
                    self.note("numerator df", np.nan_to_num(row.num_df), 0.0, 1.0)
                    continue
                self.note("numerator df", row.num_df, len(L), 1.0)
                value = L @ self.here.beta
                V = L @ self.here.vcov @ L.T
                self.note("F", row.f_value, value @ np.linalg.solve(V, value) / len(L))
                if self.A is not None:
                    self.note("satterthwaite df", row.den_df, self.invariant_df(L))
                if kr is not None:
                    F, df = self.kr_test(L)
                    self.note("kenward-roger F", kr.loc[name].f_value, F)
                    self.note("kenward-roger df", kr.loc[name].den_df, df)

    def one_basis(self) -> None:
        """Compare the default joint df, of one way to write a hypothesis."""
        if self.A is None or self.X.shape[1] < 3:
            return
        rng = np.random.default_rng(0)
        M = rng.normal(size=(2, self.X.shape[0])) / len(self.X)
        L = np.zeros((2, len(self.m.params)))
        L[:, self.m._fit.cp.kept] = M @ self.X_package
        found = self.m.contrast(L, joint=True).iloc[0]
        self.note("satterthwaite joint df", found.den_df, self.eigenvector_df(M @ self.X))

    def means(self, factor: str) -> None:
        """Compare the marginal means of a factor and their differences."""
        case, m, data = self.case, self.m, self.case.data
        both = data[["f", "h"]].drop_duplicates()
        covariates = {name for effect in case.effects for name in effect.covariates}
        if (
            both["f"].is_unique
            or both["h"].is_unique
            or any(data[name].nunique() < 3 for name in covariates)
        ):
            return  # nested factors and two-valued covariates have rules of their own
        levels = {name: sorted(data[name].unique()) for name in ("f", "h")}
        means = {name: np.mean([row[name] for row in self.rows]) for name in ("x", "z")}
        other = "h" if factor == "f" else "f"
        D = []
        for level in levels[factor]:
            grid = [means | {factor: level, other: one} for one in levels[other]]
            D.append(_cells(case.effects, grid, self.rows).mean(axis=0))
        D = np.array(D)
        pairs = list(itertools.combinations(range(len(D)), 2))
        differences = np.array([D[i] - D[j] for i, j in pairs])
        for ddf in ("satterthwaite", "kenward-roger"):
            if (self.A if ddf == "satterthwaite" else self.kr) is None:
                continue
            e = m.emmeans(factor, ddf=ddf)
            frame = e.to_frame()
            for name, table, column, rows in (
                ("emmeans", frame, "emmean", D),
                ("pairs", e.pairs(adjust="none"), "estimate", differences),
            ):
                self.linear(name, table, column, rows, ddf)

    def linear(self, name: str, table: Any, column: str, rows: np.ndarray, ddf: str) -> None:
        """Compare estimates, standard errors and df of combinations of the cells."""
        unit = self.case.units["y"]
        inside = rows @ self.turn @ (self.turn * self.scales[: len(self.turn.T)] ** 2).T
        estimable = np.abs(inside - rows).max(axis=1) < 1e-8
        L = rows @ self.turn
        V = self.here.vcov if ddf == "satterthwaite" else self.kr.vcov  # type: ignore[union-attr]
        se = np.sqrt(np.einsum("ij,jk,ik->i", L, V, L))
        df = [
            self.single_df(row) if ddf == "satterthwaite" else self.kr_test(row[None])[1]
            for row in L
        ]
        missing = np.where(estimable, 0.0, np.nan)
        self.note(name, table[column] / unit, L @ self.here.beta + missing, se)
        self.note(f"{name} std errors", table["std_error"] / unit, se + missing)
        self.note(f"{name} df", table["df"], np.array(df) + missing)


# --- pieces ---------------------------------------------------------------------------------------


def _cells(effects: Any, rows: Any, levels_from: Any = None) -> np.ndarray:
    """Return the intercept and the dummies of all cells of the effects, times covariates, (n, m)."""
    source = rows if levels_from is None else levels_from
    columns = [np.ones(len(rows))]
    for effect in effects:
        names = sorted(effect.factors)
        levels = [sorted({row[name] for row in source}) for name in names]
        value = np.ones(len(rows))
        for name in effect.covariates:
            value = value * np.array([row[name] for row in rows], dtype=float)
        for cell in itertools.product(*levels):
            member = [all(row[n] == v for n, v in zip(names, cell, strict=True)) for row in rows]
            columns.append(value * np.array(member))
    return np.column_stack(columns)


def _independent(L: np.ndarray) -> np.ndarray:
    """Return rows of length one that span those of L, (rank, p)."""
    if not len(L):
        return L
    _, s, V = np.linalg.svd(L, full_matrices=False)
    return V[s > 1e-8 * max(s.max(), 1e-8)]


def _units_of(columns: Any, data: pd.DataFrame, units: dict[str, float]) -> list[float]:
    """Return the units of the columns of a random term: those of x and z, and 1."""
    out = []
    for column in columns:
        values = product_of(column, len(data))
        name = next((n for n in ("x", "z") if np.array_equal(values, data[n].to_numpy())), None)
        out.append(1.0 if name is None else units[name])
    return out


def _in_units(dense: DenseModel, of_column: list[list[float]]) -> tuple[np.ndarray, ...]:
    """Return Z with each column divided by its units."""
    Z = [z.copy() for z in dense.Z]
    for (group, start, k, _), own in zip(dense.terms, of_column, strict=True):
        Z[group][:, :, start : start + k] /= own
    return tuple(Z)


def _theta_units(dense: DenseModel, of_column: list[list[float]]) -> np.ndarray:
    """Return the factors of theta for such a Z: the units of the row of Lambda."""
    out = []
    for (_, _, k, correlated), own in zip(dense.terms, of_column, strict=True):
        for column in range(k):
            out += [own[row] for row in (range(column, k) if correlated else [column])]
    return np.array(out)
