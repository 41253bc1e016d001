"""Names of other libraries, and the names that the same things have here.

statsmodels and R have many names for the parts of a fitted model. One name is enough here; the
error for another one says which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

__all__ = ["FUNCTIONS", "explain_arguments", "no_attribute"]

P = ParamSpec("P")
R = TypeVar("R")

#: Attributes of results in statsmodels, R and other packages.
_ATTRIBUTES = {
    # statsmodels
    "bse_fe": "bse",
    "bse_re": "varcorr_se()",
    "conf_int": "confint()",
    "cov_params": "vcov()",
    "cov_re": "varcorr",
    "df_resid": "ddf_table()",
    "f_test": "contrast(L, joint=True)",
    "fe_params": "params",
    "fittedvalues": "fitted",
    "llf": "loglik",
    "model": "formula",
    "normalized_cov_params": "vcov()",
    "predicted": "fitted",
    "pvalues": "coef_table()['p_value']",
    "random_effects": "ranef()",
    "random_effects_cov": "ranef(cond_var=True)",
    "remove_data": "keep_rows, which is False by default: a pickle has no rows",
    "residuals": "resid()",
    "rsquared": "r2()",
    "scale": "sigma, the square root of the residual variance",
    "t_test": "contrast(L)",
    "tvalues": "coef_table()['statistic']",
    "wald_test": "contrast(L, joint=True)",
    # R
    "AIC": "aic",
    "BIC": "bic",
    "REMLcrit": "criterion",
    "VarCorr": "varcorr",
    "bootMer": "bootstrap()",
    "cld": "emmeans(specs).letters()",
    "coefficients": "params",
    "contest": "contrast(L)",
    "cooks": "cooks_distance()",
    "cooksd": "cooks_distance()",
    "deviance": "criterion (under ML the deviance, under REML the REML criterion)",
    "df_residual": "ddf_table()",
    "effects": "emmeans()",
    "fixef": "params",
    "getME": "theta, sigma or varcorr",
    "hat": "hatvalues()",
    "isSingular": "is_singular",
    "lmerTest": "anova(ddf='satterthwaite')",
    "logLik": "loglik",
    "ls_means": "emmeans()",
    "lsmeans": "emmeans()",
    "ngrps": "n_groups",
    "pairs": "emmeans(specs).pairs()",
    "se": "bse",
    "sigma2": "sigma ** 2",
    # scikit-learn
    "coef_": "params",
    "fit": "update() or refit(y); MixedRegressor of the module sklearn is an estimator",
    "intercept_": "params['Intercept']",
    "score": "r2(); MixedRegressor of the module sklearn is an estimator",
}

#: Functions of R and statsmodels that a user may look for in the package.
FUNCTIONS = {
    "AIC": "the attribute aic of a result",
    "BIC": "the attribute bic of a result",
    "MixedLM": "MixedLM of the module compat.statsmodels",
    "VarCorr": "the attribute varcorr of a result",
    "coef": "the method coef() of a result",
    "confint": "the method confint() of a result",
    "emmeans": "the method emmeans() of a result",
    "fixef": "the attribute params of a result",
    "lme": "mf.lmer, with the random part in the formula: (x | g)",
    "logLik": "the attribute loglik of a result",
    "mixedlm": "mixedlm of the module compat.statsmodels, or mf.lmer",
    "ols": "mf.lm",
    "predict": "the method predict() of a result",
    "ranef": "the method ranef() of a result",
    "ranova": "the method ranova() of a result",
    "read_csv": "mf.read_table",
    "read_dta": "mf.read_table",
    "read_sav": "mf.read_table",
    "read_stata": "mf.read_table",
    "step": "the method step() of a result",
    "summary": "the method summary() of a result",
}

#: Arguments of functions that fit, in R and statsmodels.
_ARGUMENTS = {
    "ddf": "ddf= is an argument of summary(), coef_table() and anova() of the result",
    "family": "mf.lmer and mf.lm are for a normal response",
    "groups": "write the random part into the formula, (1 | {value}); "
    "mixedlm of the module compat.statsmodels takes groups=",
    "missing": "write na_action='omit', 'exclude' or 'raise'",
    "na": "write na_action='omit', 'exclude' or 'raise'",
    "random": "write the random part into the formula: y ~ x + (x | g)",
    "re_formula": "write the random part into the formula: y ~ x + (x | g)",
    "reml": "write REML={value}",
    "subset": "leave out rows of the data first: data[data['x'] > 0]",
    "vc_formula": "write each component into the formula: (1 | g) + (1 | h)",
    "verbose": "write progress=True; m.optimization has the log of the search",
    "control": "there is a single optimizer; m.optimization shows how it went",
    "optimizer": "there is a single optimizer; m.optimization shows how it went",
}


def no_attribute(result: Any, name: str) -> AttributeError:
    """Return the error for an attribute that a result does not have.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lm("y ~ 1", {"y": [1.0, 2.0, 4.0]})
    >>> str(no_attribute(m, "pvalues"))
    "OLSResult has no attribute 'pvalues': use coef_table()['p_value']"
    """
    kind = type(result).__name__
    instead = _ATTRIBUTES.get(name)
    known = instead is not None and hasattr(type(result), _first_word(instead))
    hint = f": use {instead}" if known else ""
    return AttributeError(f"{kind} has no attribute {name!r}{hint}", name=name, obj=result)


def _first_word(text: str) -> str:
    word = ""
    for letter in text:
        if not (letter.isalnum() or letter == "_"):
            break
        word += letter
    return word


def explain_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function answer arguments of other libraries by the way to write the same here.

    Raises
    ------
    TypeError
        For an argument that the function does not have.
    """
    known = frozenset(signature(function).parameters)

    @wraps(function)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in known:
                raise TypeError(
                    f"{function.__name__}() has no argument {name!r}" + _hint(name, value, known)
                )
        return function(*args, **kwargs)

    return explained


def _hint(name: str, value: Any, known: frozenset[str]) -> str:
    if name == "method" and str(value).upper() in ("ML", "REML"):
        return f": write REML={str(value).upper() == 'REML'}" if "REML" in known else ""
    same = next((other for other in known if other.lower() == name.lower()), None)
    if same is not None and name not in _ARGUMENTS:
        return f": write {same}={value!r}"
    if name == "reml" and "REML" not in known:
        return ": least squares has no REML"
    hint = _ARGUMENTS.get(name)
    return "" if hint is None else ": " + hint.replace("{value}", str(value))
