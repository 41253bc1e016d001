"""The parameters that have intervals: standard deviations, correlations, sigma, coefficients.

Profiles and bootstraps have them in one order: term by term, the lower triangle column by column as
in theta, then ``sigma``, then the identifiable coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast._validation import did_you_mean
from mixedfast.covariance.relative import Covariance, TermShape
from mixedfast.data.frames_out import apart
from mixedfast.errors import ArgumentError

if TYPE_CHECKING:
    from mixedfast.crossprod.types import CrossProducts

__all__ = [
    "Parameter",
    "covariance_root",
    "list_parameters",
    "parameter_values",
    "select_parameters",
    "transform",
]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model.

    Parameters
    ----------
    name : str
        ``sd_ses|school``, ``cor_ses.Intercept|school``, ``sigma`` or the name of a coefficient. A
        coefficient keeps its name: if it is called ``sigma``, the residual one is ``.sigma``.
    kind : {"sd", "cor", "sigma", "beta"}
    term : int
        Position among the random terms; -1 for sigma and coefficients.
    a, b : int
        sd: column a of the term. cor: columns a > b. beta: a is the position among the identifiable
        columns of X.
    """

    name: str
    kind: str
    term: int = -1
    a: int = 0
    b: int = 0

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return {
            "sd": (0.0, np.inf),
            "sigma": (0.0, np.inf),
            "cor": (-1.0, 1.0),
            "beta": (-np.inf, np.inf),
        }[self.kind]


def list_parameters(cp: CrossProducts) -> list[Parameter]:
    """List all parameters of a model, in the order of the tables.

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X.

    Returns
    -------
    list of Parameter

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> [p.name for p in list_parameters(cp)][:3]
    ['sd_Intercept|Subject', 'cor_Days.Intercept|Subject', 'sd_Days|Subject']
    """
    out = []
    for t, (term, group) in enumerate(zip(cp.terms, cp.term_groups, strict=True)):
        names = cp.groups[term.group].names[term.start : term.start + term.k]
        structure = term.structure
        for (a, b), name in zip(structure.natural, structure.names(names), strict=True):
            kind, other = ("sd", 0) if a == b else ("cor", b)
            out.append(Parameter(f"{name}|{group}", kind, t, a, other))
    out.append(Parameter("sigma", "sigma"))
    shown = apart([parameter.name for parameter in out], cp.x_names)
    own = [replace(parameter, name=name) for parameter, name in zip(out, shown, strict=True)]
    return own + [Parameter(name, "beta", a=j) for j, name in enumerate(cp.x_names)]


def select_parameters(parameters: list[Parameter], names: list[str] | None) -> list[Parameter]:
    """Select parameters by name, in the order of the tables; all of them for None.

    Raises
    ------
    ArgumentError
        For an unknown name.
    """
    if names is None:
        return parameters
    known = [p.name for p in parameters]
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ArgumentError(
            f"no parameter named {', '.join(map(repr, unknown))}; "
            f"{hint + ' T' if hint else 't'}here are {', '.join(known)}"
        )
    return [p for p in parameters if p.name in set(names)]


def transform(cov: Covariance, term: TermShape) -> np.ndarray:
    """Return T (k,k) of one term with b_internal = T b_user (see `Covariance.transforms`)."""
    return cov.term_block(term, cov.transforms)


def covariance_root(
    cp: CrossProducts, term: TermShape, theta: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """Compute a square root of Sigma of one term in the user's units, (..., k, k).

    Parameters
    ----------
    theta : (..., m) array
    sigma : (...) array
        Residual standard deviation in the internal units of y.
    """
    cov = cp.covariance
    block = cov.term_block(term, cov.lambdas(theta))
    back = np.linalg.inv(transform(cov, term)) / cp.scale[-1]
    return np.asarray(np.asarray(sigma)[..., None, None] * (back @ block))


def parameter_values(
    cp: CrossProducts, theta: np.ndarray, sigma: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """Compute every parameter in the user's units, for many fits at once.

    Parameters
    ----------
    theta : (..., m) array
    sigma : (...) array
    beta : (..., p) array
        All in the internal basis.

    Returns
    -------
    (..., len(list_parameters(cp))) array
        A correlation is NaN when one of its variances is zero.
    """
    out = []
    for term in cp.terms:
        root = covariance_root(cp, term, theta, sigma)
        sd = np.sqrt((root**2).sum(axis=-1))
        unit = np.divide(
            root, sd[..., None], out=np.full_like(root, np.nan), where=sd[..., None] > 0
        )
        for a, b in term.structure.natural:
            cosine = (unit[..., a, :] * unit[..., b, :]).sum(axis=-1)
            out.append(sd[..., a] if a == b else np.clip(cosine, -1.0, 1.0))
    out.append(np.asarray(sigma) / cp.scale[-1])
    return np.stack([*out, *np.moveaxis(cp.scaling.to_user_beta(beta), -1, 0)], axis=-1)
