"""The estimates and rows of a model as plain tables, as in broom and broom.mixed (R).

``tidy`` has one row per estimate, ``augment`` one row per row of the data. The column names follow
broom.mixed (Bolker and Robinson), with underscores for its dots.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._validation import check_choice, check_flag, check_level, check_names
from mixedfast.data.categories import Categorical
from mixedfast.data.frames_out import apart
from mixedfast.formula.parser import plain_name
from mixedfast.inference.intervals.parameters import list_parameters
from mixedfast.inference.prediction.fitted import population

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.protocols import LeastSquaresModel, MixedModel, Model

__all__ = [
    "EFFECTS",
    "fixed_rows",
    "model_frame",
    "row_columns",
    "tidy",
]

EFFECTS = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
METHODS = ("wald", "profile", "boot")


def tidy(
    m: MixedModel,
    effects: str | Sequence[str],
    conf_int: bool,
    level: float,
    method: str,
    ddf: DDF,
    seed: int | None,
) -> pd.DataFrame:
    """Tabulate the kinds of estimates named in `effects`, stacked; see ``LMMResult.tidy``."""
    import pandas as pd

    wanted = check_names("effects", effects)
    for name in wanted or [""]:
        check_choice("effects", name, EFFECTS)
    check_choice("method", method, METHODS)
    check_flag("conf_int", conf_int)
    check_level(level)
    ends = None
    if conf_int and method != "wald" and {"fixed", "ran_pars"} & set(wanted):
        ends = m.confint(method, level, seed=seed)
    made = {
        "fixed": lambda: _fixed(m, conf_int, level, ddf, ends),
        "ran_pars": lambda: _ran_pars(m, conf_int, ends),
        "ran_vals": lambda: _ran_vals(m, conf_int, level),
        "ran_coefs": lambda: _ran_coefs(m),
    }
    parts = [made[name]().assign(effect=name) for name in wanted]
    order = [
        "effect",
        "group",
        "level",
        "term",
        "estimate",
        "std_error",
        "df",
        "statistic",
        "p_value",
        "conf_low",
        "conf_high",
    ]
    if len(parts) == 1:
        whole = parts[0]
    else:  # a kind has missing values in the columns of the others
        columns = [name for name in order if any(name in part for part in parts)]
        whole = pd.DataFrame({name: _stacked(parts, name) for name in columns})
    return whole[[name for name in order if name in whole]].reset_index(drop=True)


def _stacked(parts: Sequence[pd.DataFrame], name: str) -> list[Any]:
    missing = None if name in ("group", "level") else np.nan
    return [
        value
        for part in parts
        for value in (part[name].tolist() if name in part else [missing] * len(part))
    ]


def _fixed(
    m: Model, conf_int: bool, level: float, ddf: DDF, ends: pd.DataFrame | None
) -> pd.DataFrame:
    table = m.coef_table(ddf, level)
    if ends is not None:
        table[["conf_low", "conf_high"]] = ends.reindex(table.index)[["conf_low", "conf_high"]]
    shown = table if conf_int else table.drop(columns=["conf_low", "conf_high"])
    return shown.rename_axis("term").reset_index()


def fixed_rows(m: LeastSquaresModel, conf_int: bool, level: float, ddf: DDF) -> pd.DataFrame:
    """Tabulate the coefficients of a regression as `tidy` does."""
    check_level(level)
    rows = _fixed(m, conf_int, level, ddf, None)
    rows.insert(0, "effect", "fixed")
    return rows


def _ran_pars(m: MixedModel, conf_int: bool, ends: pd.DataFrame | None) -> pd.DataFrame:
    """Tabulate standard deviations and correlations.

    Names are those of broom.mixed: ``sd__x``, ``cor__Intercept.x``, ``sd__Observation``.
    """
    import pandas as pd

    rows = m.varcorr
    is_sd = rows["name2"].isna()
    residual = rows["group"].eq("Residual") & rows["name1"].eq("")
    names = np.where(
        is_sd, "sd__" + rows["name1"], "cor__" + rows["name1"] + "." + rows["name2"].fillna("")
    )
    out = pd.DataFrame(
        {
            "group": rows["group"],
            "term": np.where(residual, "sd__Observation", names),
            "estimate": np.where(is_sd, rows["sd"], rows["corr"]),
        }
    )
    if conf_int:
        out["conf_low"] = out["conf_high"] = np.nan
    if conf_int and ends is not None:
        parameter = np.where(
            is_sd, "sd_" + rows["name1"], "cor_" + rows["name2"].fillna("") + "." + rows["name1"]
        )
        plain = np.where(residual, "sigma", parameter + "|" + rows["group"])
        named = apart(plain, m._fit.cp.x_names)
        known = {p.name for p in list_parameters(m._fit.cp)}
        assert set(named) <= known, "the tables name a parameter that the intervals do not"
        out[["conf_low", "conf_high"]] = ends.loc[named, ["conf_low", "conf_high"]].to_numpy()
    return out


def _ran_vals(m: MixedModel, conf_int: bool, level: float) -> pd.DataFrame:
    """Tabulate conditional modes with their conditional standard deviations."""
    import pandas as pd

    parts = []
    for group, (modes, variance) in m.ranef(cond_var=True).items():
        part = _long(group, modes)
        part["std_error"] = np.sqrt(np.diagonal(variance, axis1=1, axis2=2)).ravel()
        if conf_int:
            reach = NormalDist().inv_cdf(0.5 + 0.5 * level) * part["std_error"]
            part["conf_low"], part["conf_high"] = part["estimate"] - reach, part["estimate"] + reach
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _ran_coefs(m: MixedModel) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([_long(group, frame) for group, frame in m.coef().items()], ignore_index=True)


def _long(group: str, wide: pd.DataFrame) -> pd.DataFrame:
    """Reshape a level-by-term table to one row per value, the terms of a level together."""
    import pandas as pd

    count, k = wide.shape
    return pd.DataFrame(
        {
            "group": np.repeat(np.array([group], dtype=object), count * k),
            "level": np.repeat(np.asarray(wide.index, dtype=object), k),
            "term": np.tile(np.asarray(wide.columns, dtype=object), count),
            "estimate": wide.to_numpy(dtype=float).ravel(),
        }
    )


def model_frame(m: Model) -> pd.DataFrame:
    """Tabulate the variables of the model on the rows used, with the index of the data."""
    import pandas as pd

    design = m._rows("augment")
    columns: dict[str, Any] = {plain_name(design.response_name) or design.response_name: design.y}
    for name, column in design.variables.columns.items():
        columns[name] = _categories(column) if isinstance(column, Categorical) else column.values
    for term in design.terms:
        columns[term.group] = _categories(Categorical(term.codes, term.levels))
    return pd.DataFrame(columns, index=m._row_labels())


def _categories(column: Categorical) -> pd.Categorical:
    import pandas as pd

    return pd.Categorical.from_codes(
        column.codes.astype(np.intp), pd.Index(column.levels), ordered=column.ordered
    )


def row_columns(m: Model) -> dict[str, np.ndarray]:
    """Compute the columns that `augment` adds, by name, (n,) each."""
    design, m = m._rows("augment"), m._of_used_rows()
    added = {
        ".fitted": m.fitted,
        ".resid": m.resid(),
        ".hat": m.hatvalues(),
        ".cooksd": m.cooks_distance(),
    }
    if m.n_groups:
        added |= {".fixed": population(m._fit, design), ".mu": m.fitted}
    for name, values in ((".offset", design.offset), (".weights", design.weights)):
        if values is not None:
            added[name] = values
    return added
