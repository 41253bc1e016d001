"""``MixedLM`` with the interface of statsmodels, fitted by mixedfast.

Change one import line of a script::

    import mixedfast.compat.statsmodels as smf          # was: import statsmodels.formula.api as smf

    result = smf.mixedlm("math ~ ses", students, groups="school", re_formula="~ses").fit()
    print(result.summary())

``MixedLM`` (arrays) and ``MixedLM.from_formula`` are here too. statsmodels itself need not be
installed.

As in statsmodels
-----------------
The model, the formulas (patsy's names and order of columns), ``params, bse, tvalues, pvalues,
conf_int, cov_params, llf, scale, cov_re, vcomp, fe_params, bse_fe, bse_re, random_effects,
random_effects_cov, predict, fittedvalues, resid, t_test, wald_test, f_test, aic, bic, summary,
save, load, remove_data``, the model's ``loglike, get_fe_params, get_scale``, their shapes, names
and index. Random parameters in ``params`` are divided by ``scale``. Standard errors come from the
observed information of all parameters together; p values are normal.

Differences
-----------
* The optimum. The optimizers of statsmodels often stop before it, with or without a warning; here
  the search ends with a certificate. Where the two differ, ``llf`` here is the higher one.
  Arguments that control optimizers (``method``, ``maxiter``, ``gtol``, ``start_params``, ...) are
  accepted and have no effect. Unknown ones are refused by name.
* A variance estimated as zero is an ordinary result with a `SingularFitWarning`. Its standard error
  is NaN, and random effects are still predicted, where statsmodels raises or divides by zero.
* Columns of ``exog`` that others determine get NaN, as in R, instead of a ``LinAlgError``.
* ``vc_formula`` components become grouping factors: ``groups`` of ones with
  ``{"a": "0 + C(a)", "b": "0 + C(b)"}`` is ``(1 | a) + (1 | b)``, at a cost that does not depend on
  the size of the matrices of statsmodels. A component with several nonzero columns in a row and one
  common variance is refused, with an equivalent to write instead.
* Formulas are evaluated by formulaic: ``bs(x, df=4)[1]`` counts from one where patsy counts from
  zero. They may call the functions of your script, so they are code: do not run formulas from
  people you do not trust.
* ``subset`` is applied (statsmodels ignores it). ``t_test`` takes strings as well as arrays.
* Penalties and fixed parameters are not offered, nor ``fit_regularized``, ``profile_re``,
  ``score``, ``hessian``, ``information``, ``get_distribution``, ``bootstrap`` and
  ``t_test_pairwise``: they raise an error that names an alternative.
* ``save`` writes a pickle, as in statsmodels, and reading a pickle can run code.
  ``result.mixedfast.save`` writes plain data.
* ``random_effects`` lists the effects of a component that occur in a group, not those of levels
  that the group lacks.

In addition
-----------
``result.mixedfast`` is the `mixedfast.LMMResult` of the same fit: Satterthwaite and Kenward-Roger
degrees of freedom (``result.mixedfast.coef_table()``), F tests, profiles, bootstrap, marginal
means.

Examples
--------
>>> import mixedfast as mf
>>> import mixedfast.compat.statsmodels as smf
>>> result = smf.mixedlm("Reaction ~ Days", mf.load_dataset("sleepstudy"), groups="Subject").fit()
>>> print(result.summary())  # doctest: +NORMALIZE_WHITESPACE
          Mixed Linear Model Regression Results
==========================================================
Model:             MixedLM  Dependent Variable:  Reaction
No. Observations:  180      Method:              REML
No. Groups:        18       Scale:               960.4566
Min. group size:   10       Log-Likelihood:      -893.2325
Max. group size:   10       Converged:           Yes
Mean group size:   10.0
----------------------------------------------------------
             Coef.   Std.Err.   z    P>|z|  [0.025  0.975]
----------------------------------------------------------
Intercept    251.405    9.747 25.794 0.000 232.302 270.508
Days          10.467    0.804 13.015 0.000   8.891  12.044
Subject Var 1378.179   17.156
==========================================================
<BLANKLINE>
"""

from mixedfast.compat.statsmodels.model import MixedLM
from mixedfast.compat.statsmodels.packed import MixedLMParams, VCSpec
from mixedfast.compat.statsmodels.results import MixedLMResults

__all__ = ["MixedLM", "MixedLMParams", "MixedLMResults", "VCSpec", "mixedlm"]

mixedlm = MixedLM.from_formula
