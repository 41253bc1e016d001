"""Cluster-robust covariances against their definition with rows and n x n matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf

KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
#: Eigenvalues of small Gram matrices against those of n x n matrices; the largest relative
#: difference seen is 3e-9 (CR3 of a cluster with a leverage of 0.98).
RTOL = 1e-7


def students(seed: int, scale: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(12), rng.integers(1, 9, 12))
    n = len(school)
    table = pd.DataFrame(
        {
            "school": school,
            "room": school * 10 + rng.integers(0, 2, n),
            "district": school // 2,
            "x": rng.normal(50.0, 10.0, n),
            "treat": (school % 3 == 0).astype(float),
            "w": rng.uniform(0.5, 3.0, n),
        }
    )
    effect = rng.normal(size=12)[school] + rng.normal(size=12)[school] * 0.05 * table.x
    table["y"] = scale * (effect + 0.1 * table.x + table.treat + rng.normal(size=n))
    return table


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    size, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    kept = size > 1e-12 * size.max()
    return (vectors[:, kept] * size[kept] ** exponent) @ vectors[:, kept].T


def by_rows(
    m: object,
    table: pd.DataFrame,
    cluster: np.ndarray,
    V: np.ndarray,
    kind: str,
    w: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, object]:
    """Return the covariance, the df of each coefficient, and a function for the HTZ test."""
    names = [name for name in m.params.index if name != "Intercept"]
    X = np.column_stack([np.ones(len(table)), *(table[name] for name in names)])
    e = table.y.to_numpy() - X @ m.params.to_numpy()
    if w is not None:  # rows times the roots of their weights, as A depends on it
        root = np.sqrt(w)
        X, e, V = root[:, None] * X, root * e, root[:, None] * V * root
    inverse = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ inverse @ X)
    hat = X @ phi @ X.T @ inverse
    n, p = X.shape
    labels = np.unique(cluster)
    J = len(labels)
    scores, weights = [], []
    for label in labels:
        own = np.flatnonzero(cluster == label)
        Vc, Xc = V[np.ix_(own, own)], X[own]
        A = np.eye(len(own))
        if kind == "CR2":
            D = np.linalg.cholesky(Vc).T
            A = D.T @ power(D @ (Vc - Xc @ phi @ Xc.T) @ D.T, -0.5) @ D
        if kind == "CR3":
            A = np.linalg.inv(np.eye(len(own)) - Xc @ phi @ Xc.T @ np.linalg.inv(Vc))
        piece = Xc.T @ np.linalg.inv(Vc) @ A
        scores.append(piece @ e[own])
        weights.append(phi @ piece @ (np.eye(n) - hat)[own])  # (p, n): phi u = weights y
    factor = {
        "CR1": J / (J - 1),
        "CR1p": J / (J - p),
        "CR1S": J * (n - 1) / ((J - 1) * (n - p)),
    }.get(kind, 1.0)
    u = np.array(scores)
    covariance = factor * phi @ u.T @ u @ phi
    df = []
    for j in range(p):
        rows = np.array([w[j] for w in weights])  # (J, n)
        M = rows @ V @ rows.T
        df.append(np.trace(M) ** 2 / (M * M).sum())

    def htz(L: np.ndarray) -> tuple[float, float]:
        q = len(L)
        pieces = [L @ w for w in weights]
        omega = sum(w @ V @ w.T for w in pieces)
        half = power(omega, -0.5)
        pieces = [half @ w for w in pieces]
        total = 0.0
        for a in pieces:  # the sum of variances of all elements of the estimator
            for b in pieces:
                C = a @ V @ b.T
                total += sum(
                    C[s, s] * C[t, t] + C[s, t] * C[t, s] for s in range(q) for t in range(q)
                )
        eta = q * (q + 1) / total
        difference = L @ m.params.to_numpy()
        wald = difference @ np.linalg.solve(L @ covariance @ L.T, difference)
        return (eta - q + 1) / (eta * q) * wald, eta - q + 1

    return covariance, np.array(df), htz


def working_covariance(m: object, table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Return V of the rows, from the variances of `m`."""
    V = np.diag(m.sigma**2 / weights)
    parts = m.varcorr
    for group in m.n_groups:
        own = parts[parts.group == group]
        names = own[own.name2.isna() | (own.name2 == "")].name1.tolist()
        S = np.zeros((len(names), len(names)))
        for _, row in own.iterrows():
            other = row.name1 if pd.isna(row.name2) or row.name2 == "" else row.name2
            i, j = names.index(row.name1), names.index(other)
            S[i, j] = S[j, i] = row.variance
        codes = pd.factorize(
            table[group] if ":" not in group else table[group.split(":")].agg(tuple, axis=1)
        )[0]
        Z = np.column_stack([np.ones(len(table)) if n == "Intercept" else table[n] for n in names])
        V += (Z @ S @ Z.T) * (codes[:, None] == codes)
    return V


MODELS = [
    ("y ~ x + treat + (1 | school)", "school", None),
    ("y ~ x + treat + (x | school)", "school", None),
    ("y ~ x + treat + (1 | school)", "district", None),
    ("y ~ x + treat + (1 | school) + (1 | room)", "school", None),
    ("y ~ x + treat + (x | school)", "school", "w"),
]


@pytest.mark.parametrize(("formula", "cluster", "weights"), MODELS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_matrices_and_df_are_those_of_the_definition(
    formula: str, cluster: str, weights: str | None, scale: float
) -> None:
    for seed in range(3):
        table = students(seed, scale)
        m = mf.lmer(formula, table, weights=weights)
        w = np.ones(len(table)) if weights is None else table[weights].to_numpy()
        V = working_covariance(m, table, w)
        for kind in KINDS:
            expected, df, htz = by_rows(m, table, table[cluster].to_numpy(), V, kind, w)
            found = m.vcov(kind, cluster=cluster).to_numpy()
            size = np.sqrt(np.diag(expected))
            np.testing.assert_allclose(
                found / size / size[:, None], expected / size / size[:, None], rtol=RTOL, atol=RTOL
            )
            tests = m.coef_table(vcov=kind, cluster=cluster)
            np.testing.assert_allclose(tests.std_error, size, rtol=RTOL)
            np.testing.assert_allclose(tests.df, df, rtol=RTOL)
            L = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            joint = m.contrast(L, joint=True, vcov=kind, cluster=cluster)
            np.testing.assert_allclose(
                joint[["f_value", "den_df"]].to_numpy()[0], htz(L), rtol=RTOL
            )


@pytest.mark.parametrize("kind", KINDS)
def test_regressions_have_them_too(kind: str) -> None:
    table = students(4)
    m = mf.lm("y ~ x + treat", table)
    expected, df, _ = by_rows(
        m, table, table.school.to_numpy(), m.sigma**2 * np.eye(len(table)), kind
    )
    np.testing.assert_allclose(m.vcov(kind, cluster="school"), expected, rtol=RTOL)
    np.testing.assert_allclose(m.coef_table(vcov=kind, cluster="school").df, df, rtol=RTOL)
    assert "CR2" in str(m.summary(vcov="CR2", cluster="school"))
    assert m.anova(vcov=kind, cluster="school").f_value["treat"] == pytest.approx(
        m.coef_table(vcov=kind, cluster="school").statistic["treat"] ** 2
    )


def test_all_tests_use_the_same_standard_errors() -> None:
    hsb = mf.load_dataset("hsb")
    m = mf.lmer("math ~ ses + sex + (1 | school)", hsb)
    table = m.coef_table(vcov="CR2", cluster="school")
    limits = m.confint(vcov="CR2", cluster="school")
    assert limits.conf_low["ses"] == table.conf_low["ses"]
    pairs = m.emmeans("sex", vcov="CR2", cluster="school").pairs()
    assert pairs.std_error[0] == pytest.approx(table.std_error["sex[T.Male]"])
    assert pairs.df[0] == pytest.approx(table.df["sex[T.Male]"])
    F = m.anova(vcov="CR2", cluster="school").f_value
    assert F["ses"] == pytest.approx(table.statistic["ses"] ** 2)
    assert "CR2, 160 clusters of school" in str(m.summary(vcov="CR2")).replace("\n", " ")
    # without the name: the grouping factor
    assert m.vcov("CR2").equals(m.vcov("CR2", cluster="school"))


def test_streams_sum_by_cluster_in_one_more_reading(tmp_path: object) -> None:
    hsb = mf.load_dataset("hsb")
    hsb.to_parquet(tmp_path / "hsb.parquet")
    streamed = mf.lmer("math ~ ses + (1 | school)", str(tmp_path / "*.parquet"))
    m = mf.lmer("math ~ ses + (1 | school)", hsb)
    np.testing.assert_allclose(streamed.vcov("CR2"), m.vcov("CR2"), rtol=1e-8)
    with pytest.raises(mf.DataError, match="must be a grouping factor"):
        streamed.vcov("CR2", cluster="sector")


def test_generalized_models_have_none() -> None:
    table = students(2)
    table["high"] = (table.y > table.y.median()).astype(float)
    g = mf.glmer("high ~ treat + (1 | school)", table, family="binomial")
    with pytest.raises(mf.NotDefinedError, match="linear models"):
        g.drop1(vcov="CR2")


def test_what_is_not_defined_is_refused() -> None:
    table = students(1)
    m = mf.lmer("y ~ x + (1 | school)", table)
    table["half"] = np.arange(len(table)) % 2
    again = mf.lmer("y ~ x + (1 | school)", table)
    with pytest.raises(mf.NotDefinedError, match="school 0 has rows in several clusters"):
        again.vcov("CR2", cluster="half")
    with pytest.raises(mf.ArgumentError, match="needs vcov="):
        m.coef_table(cluster="school")
    with pytest.raises(mf.ArgumentError, match="leave ddf= out"):
        m.coef_table(ddf="kenward-roger", vcov="CR2")
    with pytest.raises(mf.ArgumentError, match="give cluster="):
        mf.lm("y ~ x", table).vcov("CR2")
    with pytest.raises(mf.ArgumentError, match="CR3"):
        m.vcov("CR4")
    with pytest.raises(mf.DataError, match="needs the rows"):
        mf.fit(mf.crossproducts("y ~ x + (1 | school)", table)).vcov("CR2")


#: clubSandwich (tests/r/cluster_robust.R): v11, v12, v22.
SLEEPSTUDY = {
    "CR0": (43.987095645, -1.370479278, 2.256715350),
    "CR1": (46.574571859, -1.451095706, 2.389463312),
    "CR1p": (49.485482601, -1.541789187, 2.538804769),
    "CR1S": (46.836226757, -1.459247929, 2.402887263),
    "CR2": (46.574571859, -1.451095706, 2.389463312),
    "CR3": (49.314252557, -1.536454277, 2.530019977),
}


@pytest.mark.parametrize("kind", KINDS)
def test_clubsandwich_gives_the_same(kind: str) -> None:
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    v = m.vcov(kind, cluster="Subject").to_numpy()
    np.testing.assert_allclose((v[0, 0], v[0, 1], v[1, 1]), SLEEPSTUDY[kind], rtol=1e-6)
    np.testing.assert_allclose(m.coef_table(vcov=kind).df, 17.0, rtol=1e-8)
