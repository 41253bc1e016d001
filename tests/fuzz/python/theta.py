"""The small dense algebra of `_theta`.

Each function against its definition in plain loops or dense algebra.

Numbers are small multiples of 1/8, so that sums of products are exact in any order and must be the
same to the bit. What factors or divides is held to its own equations, each within the rounding that
the sizes of its terms allow.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from harness import Choices, Numbers, compiled, fuzz, within

theta = compiled("covariance/_theta")
#: What may be asked of the doors beside what they take: they must refuse it, and look at nothing
#: outside.
ODD_PLACES = (-1, 4, 1 << 31, (1 << 63) - 1, -(1 << 63))


def solve_normal_equations(choices: Choices, numbers: Numbers) -> None:
    n = choices.below(7)
    Z = numbers((choices.below(9), n))
    S = Z.T @ Z + choices.below(3) * np.eye(n)
    kind = choices.below(6)
    if kind == 0 and n:
        S[choices.below(n)] *= -1.0  # neither symmetric nor definite
    if kind == 1 and n:
        i, j = choices.below(n), choices.below(n)
        S[i, j] = S[j, i] = choices.one([np.nan, np.inf, -np.inf])
    if kind == 2:
        S = np.ascontiguousarray(S[:, : choices.below(n + 1)])
    try:
        answer = theta.solve_normal_equations(S)
    except ValueError:
        assert n < 1 or S.shape != (n, n)
        return
    assert S.shape == (n, n)
    lower = np.tril(S)  # all that is read
    if answer is None:
        whole = lower + np.tril(S, -1).T
        assert not np.isfinite(whole).all() or np.linalg.eigvalsh(whole)[0] <= 1e-10 * np.abs(
            S
        ).max(initial=1.0)
        return
    LX, W, beta, r = answer
    assert np.isfinite(lower).all() and r >= 0.0
    p, L, b = n - 1, np.abs(LX), S[n - 1, : n - 1]
    assert (
        (np.tril(LX) == LX).all()
        and (np.triu(W) == W).all()
        and LX.shape == W.shape == (p, p)
        and beta.shape == (p,)
    )
    assert within(np.tril(LX @ LX.T), lower[:p, :p], L @ L.T, n)
    assert within(W.T @ LX, np.eye(p), np.abs(W.T) @ L + np.eye(p), n)
    size = L.T @ np.abs(beta)
    assert within(LX @ (LX.T @ beta), b, L @ size + np.abs(b), 2 * n)
    assert within(
        r * r + (LX.T @ beta) @ (LX.T @ beta), S[p, p], r * r + size @ size + abs(S[p, p]), 2 * n
    )


def lower_inverse(choices: Choices, numbers: Numbers) -> None:
    k = choices.below(7)
    L = (
        np.tril(numbers((k, k)))
        if choices.below(8)
        else np.tril(numbers((k, k)))[: choices.below(k + 1)]
    )
    try:
        X = theta.lower_inverse(L)
    except ValueError:
        assert len(L) != k
        return
    assert len(L) == k and (np.isnan(X) | (np.tril(X) == X)).all()
    if np.diag(L).all():
        assert within(L @ X, np.eye(k), np.abs(L) @ np.abs(X) + np.eye(k), k)


def newton_step(choices: Choices, numbers: Numbers) -> None:
    m = choices.below(7)
    H, g = numbers((m, m)), numbers((m + (choices.below(16) == 0),))
    H += H.T
    if choices.below(8) == 0 and m:
        H[choices.below(m), choices.below(m)] = choices.one([np.nan, np.inf])
    floor = choices.one([1e-1, 1e-3, 1e-6])
    try:
        (step,), (decrease,) = theta.newton_steps(g[None], H[None], floor)
    except np.linalg.LinAlgError:
        assert not np.isfinite(H).all()
        return
    except ValueError:
        assert g.shape != (m,)
        return
    assert step.shape == g.shape and (decrease >= 0.0 or not np.diag(H).all())
    if (
        m == 0 or not np.diag(H).all()
    ):  # a column without a curvature is scaled by 1e150: no crash is all that is asked
        return
    scale = 1.0 / np.sqrt(np.abs(np.diag(H)))
    scaled = H * scale * scale[:, None]
    values, vectors = np.linalg.eigh(scaled)
    largest = np.abs(values).max()
    size = np.maximum(np.abs(values), floor * largest)
    along = vectors.T @ (scale * g)
    # 1/size as a function of a matrix changes by 1/(floor largest)^2 for each unit, and eigenvalues
    # err by m largest 1e-16
    doubt = 1e-14 * m * m * np.abs(scale * g).sum() / (floor * floor * largest)
    assert np.abs(step + scale * (vectors @ (along / size))).max() <= doubt * scale.max()
    assert abs(decrease - 0.5 * (along * along / size).sum()) <= doubt * np.abs(scale * g).sum()


def places(choices: Choices, count: int, K: int, size: int) -> tuple[np.ndarray, bool]:
    """(3,count) places in theta and in a k x k block, and whether they lie within."""
    if choices.below(16) == 0:
        return np.zeros((choices.below(3), count), np.int64), False
    rows = [[choices.below(limit) if limit else 0 for _ in range(count)] for limit in (size, K, K)]
    out = np.array(rows, np.int64).reshape(3, count)
    if choices.below(6) == 0 and count:
        out[choices.below(3), choices.below(count)] = choices.one(ODD_PLACES)
    limits = np.array([[size], [K], [K]])
    return out, bool(((out >= 0) & (out < limits)).all())


def theta_gradient(choices: Choices, numbers: Numbers) -> None:
    N, K, size = choices.below(4), choices.below(4), choices.below(5)
    lam, G, out = (
        numbers((N, K, K)),
        numbers((N, K, K)),
        numbers((N + (choices.below(16) == 0), size)),
    )
    at, good = places(choices, choices.below(5), K, size)
    before = out.copy()
    try:
        theta.theta_gradient(lam, G, at, out)
    except (ValueError, IndexError) as error:
        assert not good if isinstance(error, IndexError) else len(out) != N
        np.testing.assert_array_equal(out, before)
        return
    assert good and len(out) == N
    for n, i in product(range(N), range(at.shape[1])):
        place, row, column = at[:, i]
        before[n, place] = 2.0 * sum(G[n, row, b] * lam[n, b, column] for b in range(K))
    np.testing.assert_array_equal(out, before)


def derivative(lam: np.ndarray, row: int, column: int) -> np.ndarray:
    """d(lambda lambda') by one element of lambda."""
    out = np.zeros_like(lam)
    out[row] += lam[:, column]
    out[:, row] += lam[:, column]
    return out


def theta_hessian(choices: Choices, numbers: Numbers) -> None:
    N, Kg, Kh, size = choices.below(3), choices.below(4), choices.below(4), 1 + choices.below(5)
    bends = Kg == Kh and choices.below(2) == 1
    lam_g, lam_h, H = numbers((N, Kg, Kg)), numbers((N, Kh, Kh)), numbers((N, Kg, Kg, Kh, Kh))
    G = numbers((N, Kg, Kg)) if bends else None
    if G is not None:
        G += np.swapaxes(G, 1, 2).copy()
    at_g, good_g = places(choices, choices.below(4), Kg, size)
    at_h, good_h = places(choices, choices.below(4), Kh, size)
    out = numbers((N, size, size + (choices.below(16) == 0)))
    before = out.copy()
    try:
        theta.theta_hessian(lam_g, lam_h, H, G, at_g, at_h, out)
    except (ValueError, IndexError) as error:
        assert (
            not (good_g and good_h)
            if isinstance(error, IndexError)
            else out.shape[1] != out.shape[2]
        )
        np.testing.assert_array_equal(out, before)
        return
    assert good_g and good_h and out.shape[1] == out.shape[2]
    for n, i, j in product(range(N), range(at_g.shape[1]), range(at_h.shape[1])):
        (a, row, column), (b, row_h, column_h) = at_g[:, i], at_h[:, j]
        total = np.einsum(
            "abcd,ab,cd->",
            H[n],
            derivative(lam_g[n], row, column),
            derivative(lam_h[n], row_h, column_h),
        )
        if G is not None and column == column_h:
            total += G[n, row, row_h] + G[n, row_h, row]
        before[n, a, b] = before[n, b, a] = total
    np.testing.assert_array_equal(out, before)


def second_derivative(choices: Choices, numbers: Numbers) -> None:
    K, k = choices.below(4), choices.below(4)
    Q = (
        numbers((K, K, k, k))
        if choices.below(2)
        else np.moveaxis(numbers((k, k, K, K)), (2, 3), (0, 1))
    )
    vv, ww, T = (
        numbers((K, K)),
        numbers((k, k)),
        numbers((K, K, k, k)) if choices.below(2) else None,
    )
    if choices.below(12) == 0:
        vv = numbers((K + 1, K))
    nu, r2 = float(1 + choices.below(200)), 2.0 ** (choices.below(9) - 4)
    try:
        out = theta.second_derivative(Q, vv, ww, T, nu, r2)
    except ValueError:
        assert vv.shape != (K, K)
        return

    def both_ways(X: np.ndarray) -> np.ndarray:
        once = (X + np.swapaxes(X, 0, 1)) / 2.0
        return (once + np.swapaxes(once, 2, 3)) / 2.0

    outer = np.multiply.outer(vv, ww)
    share = (1.0 if T is None else 2.0) * nu / r2
    plain = share * both_ways(Q) - nu / (r2 * r2) * outer - (0.0 if T is None else both_ways(T))
    size = (
        share * both_ways(np.abs(Q))
        + nu / (r2 * r2) * np.abs(outer)
        + (0.0 if T is None else both_ways(np.abs(T)))
    )
    assert within(out, plain, size, 8)


FUNCTIONS = (
    solve_normal_equations,
    lower_inverse,
    newton_step,
    theta_gradient,
    theta_hessian,
    second_derivative,
)


def one_input(data: bytes) -> None:
    choices = Choices(data)
    function = choices.one(FUNCTIONS)
    with np.errstate(all="ignore"):  # infinities are among what is asked
        function(choices, Numbers(data))


if __name__ == "__main__":
    fuzz(one_input)
