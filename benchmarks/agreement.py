"""Agreement: criteria, estimates and standard errors of one problem and task compared."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["Agreement", "compare"]

#: A criterion this much above the lowest is a worse fit (units of the deviance); below it nobody
#: would notice.
CRITERION_TOLERANCE = 0.01
#: Fixed effects may differ by this share of their standard error, standard errors and deviations by
#: this share of themselves.
ESTIMATE_TOLERANCE = 0.01
#: Degrees of freedom, relative.
DF_TOLERANCE = 0.02

Agreement = dict[str, float | str | None]


def compare(entries: list[dict]) -> dict[str, Agreement]:
    """Compare the libraries with answers.

    Each gets `above_lowest`, `beta_off`, `se_off`, `sd_off`, `df_off` and a `verdict` in words.

    All is relative to the lowest criterion that fits the right model (REML or ML as asked) and that
    another library confirms; without a second opinion, to the lowest.
    """
    answers = {e["library"]: e["answers"] for e in entries if e.get("answers")}
    if not answers:
        return {}
    reml = entries[0]["reml"]
    reference = _reference({name: a for name, a in answers.items() if a["reml"] == reml} or answers)
    df = next(
        (
            answers[name]["df"]
            for name in ("lmerTest", "pbkrtest", "mixedfast")
            if answers.get(name, {}).get("df")
        ),
        None,
    )
    return {name: _against(a, reference, df, reml) for name, a in answers.items()}


def _reference(answers: dict[str, dict]) -> dict:
    finite = sorted(
        (a for a in answers.values() if math.isfinite(a["criterion"])), key=lambda a: a["criterion"]
    )
    ordered = finite or list(answers.values())
    for candidate in ordered:
        if any(
            other is not candidate and _beta_off(other, candidate) <= ESTIMATE_TOLERANCE
            for other in ordered
        ):
            return candidate
    return ordered[0]


def _beta_off(a: dict, b: dict) -> float:
    return (
        _worst(np.subtract(a["beta"], b["beta"]) / np.asarray(b["se"]))
        if len(a["beta"]) == len(b["beta"])
        else math.inf
    )


def _worst(differences: np.ndarray) -> float:
    """Return the largest in absolute value, where NaN is the largest of all."""
    absolute = np.abs(np.asarray(differences, float))
    return float(np.max(np.where(np.isnan(absolute), np.inf, absolute), initial=0.0))


def _standard_deviations(answers: dict) -> np.ndarray:
    """Of every random effect and the residual."""
    diagonals = [np.diag(np.atleast_2d(np.asarray(v, float))) for v in answers["variances"]]
    return np.sqrt(np.concatenate([*diagonals, [answers["sigma2"]]]))


def _against(a: dict, reference: dict, df: list[float] | None, reml: bool) -> Agreement:
    off: Agreement = {
        "above_lowest": a["criterion"] - reference["criterion"] if a["reml"] == reml else None
    }
    off["beta_off"] = _beta_off(a, reference)
    off["se_off"] = (
        _worst(np.divide(a["se"], reference["se"]) - 1) if off["beta_off"] < math.inf else math.inf
    )
    sd, sd0 = _standard_deviations(a), _standard_deviations(reference)
    # Relative to the residual too: a variance of zero has no relative error.
    off["sd_off"] = (
        _worst((sd - sd0) / np.maximum(sd0, 0.01 * sd0[-1])) if len(sd) == len(sd0) else math.inf
    )
    off["df_off"] = _worst(np.divide(a["df"], df) - 1) if df and a.get("df") else None
    off["verdict"] = _verdict(off, a, reml)
    return off


def _verdict(off: Agreement, a: dict, reml: bool) -> str:
    said = []
    if a["reml"] != reml:
        said.append("fits " + ("REML" if a["reml"] else "ML"))
    elif not math.isfinite(off["above_lowest"]) or off["above_lowest"] > CRITERION_TOLERANCE:
        said.append(f"WORSE FIT by {off['above_lowest']:.3g}")
    for name, what, tolerance in (
        ("beta_off", "fixed effects", ESTIMATE_TOLERANCE),
        ("se_off", "standard errors", ESTIMATE_TOLERANCE),
        ("sd_off", "standard deviations", ESTIMATE_TOLERANCE),
        ("df_off", "df", DF_TOLERANCE),
    ):
        if off[name] is not None and off[name] > tolerance:
            said.append(f"{what} off by {off[name]:.2g}" + (" SE" if name == "beta_off" else ""))
    if a.get("converged") is False:
        said.append("says it did not converge")
    return "; ".join(said)
