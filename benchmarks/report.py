"""Tables of a benchmark run: medians, ratios, memory, criteria, agreement."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby

from benchmarks.agreement import compare

__all__ = ["OURS", "duration", "markdown", "pipes", "right", "rows", "to_csv"]

OURS = "mixedfast"
KEPT = (
    "problem",
    "title",
    "task",
    "library",
    "status",
    "peak_bytes",
    "loaded_bytes",
    "column_bytes",
)
COMPARED = ("above_lowest", "beta_off", "se_off", "sd_off", "df_off")


def rows(entries: list[dict]) -> list[dict]:
    """Return one row per entry, the fastest first.

    `ratio_to_ours` is the median of a library divided by that of mixedfast, or a lower bound if the
    library timed out.
    """
    out = []
    for _, group in groupby(entries, key=_which):
        together = list(group)
        agreement = compare(together)
        ours = next((_median(e["times"]) for e in together if e["library"] == OURS), None)
        table = [_row(e, agreement.get(e["library"], {}), ours) for e in together]
        out += sorted(table, key=lambda r: (r["status"] != "ran", r["seconds"] or float("inf")))
    return out


def _which(entry: dict) -> tuple[str, str]:
    return entry["problem"], entry["task"]


def _median(times: list[float]) -> float | None:
    return statistics.median(times) if times else None


def _row(entry: dict, agreement: dict, ours: float | None) -> dict:
    times, answers = entry["times"], entry.get("answers", {})
    seconds = _median(times)
    if entry["status"] == "timed out" and seconds is None:
        seconds = entry["limit"]
    return {
        **{name: entry.get(name) for name in KEPT},
        "seconds": seconds,
        "fastest": min(times, default=None),
        "slowest": max(times, default=None),
        "cpu_seconds": _median(entry["cpu_times"]),
        "runs": len(times),
        "ratio_to_ours": seconds / ours if seconds and ours else None,
        "criterion": answers.get("criterion"),
        "evaluations": answers.get("evaluations"),
        **{name: agreement.get(name) for name in COMPARED},
        "verdict": agreement.get("verdict", entry.get("reason", "")),
    }


def to_csv(table: list[dict]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def pipes(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table; a name that begins with a blank aligns its column left."""
    lines = [header, ["---" if name.startswith(" ") else "--:" for name in header], *body]
    return "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines)


def markdown(record: dict) -> str:
    """Write the page: the machine, a summary, then all libraries on each problem."""
    table = rows(record["entries"])
    facts = {e["problem"]: e for e in record["entries"]}
    parts = ["# Benchmarks", _about(record)]
    parts += [
        "## Problems",
        "\n".join(f"- **{key}**: {fact['title']}" for key, fact in facts.items()),
    ]
    parts += ["## mixedfast and the fastest other library", _summary(table)]
    parts += ["## Comparison with the limits of the machine", _limits(record, table)]
    for (problem, task), group in groupby(table, key=_which):
        f = facts[problem]
        parts.append(f"## {problem}, {task}: {f['title']}")
        parts.append(
            f"`{f['formula']}`, {f['rows']:,} rows, {'REML' if f['reml'] else 'ML'}. {f['note']}".rstrip()
        )
        parts.append(_details(list(group)))
    return "\n\n".join(parts) + "\n"


def _about(record: dict) -> str:
    m, scale = record["machine"], record["settings"]["scale"]
    used = sorted(
        {f"{e['library']}: {', '.join(e['blas'])}" for e in record["entries"] if e.get("blas")}
    )
    machine = (
        f"{m['date']}, {m['cpu']}, {m['cores']} cores, {m['memory_bytes'] / 2**30:.0f} GiB, {m['system']}. "
        f"Each library uses {m['threads']} thread{'s' * (m['threads'] > 1)}. "
        f"Speed of the machine: copying {m['copy_bytes_per_second'] / 1e9:.1f} GB/s (reads and writes), "
        f"`dgemm` {m['dgemm_flops_per_second'] / 1e9:.0f} GFLOP/s, `dpotrf` {m['dpotrf_flops_per_second'] / 1e9:.0f} GFLOP/s "
        f"(order {m['order']})."
    )
    how = (
        "Times are medians, from a table in memory to the standard errors of the fixed effects. "
        "Each library runs in its own process, in turns. Memory is the maximum of the process during "
        "the fit, including the table and the interpreter. `> limit` marks a fit that was stopped at "
        "its time limit. The last columns show by how much the criterion (as defined by lme4) exceeds "
        "the lowest value that another library confirms, and which estimates disagree."
    )
    if scale != 1:
        how += f" **The problems are scaled by {scale:g}; this is a trial run.**"
    return "\n\n".join([machine, how, "Linear algebra: " + "; ".join(used) + "."])


def right(row: dict) -> bool:
    """Return whether a library ran and fits no worse than others.

    ML instead of REML counts if its estimates agree.
    """
    return row["status"] == "ran" and not any(
        word in row["verdict"] for word in ("WORSE", "off by")
    )


def _summary(table: list[dict]) -> str:
    header = (
        " problem",
        " task",
        "mixedfast",
        " fastest other",
        "speed-up over it",
        "speed-up over lme4",
        "memory, mixedfast",
        "memory, fastest other",
    )
    body = []
    for (problem, task), group in groupby(table, key=_which):
        together = list(group)
        ours = next((r for r in together if r["library"] == OURS and r["status"] == "ran"), None)
        if ours is None:
            continue
        best = next((r for r in together if r["library"] != OURS and right(r)), None)
        lme4 = next(
            (
                r
                for r in together
                if r["library"] in ("lme4", "lmerTest", "pbkrtest") and r["seconds"]
            ),
            None,
        )
        winner = (
            (f"{best['library']} {_seconds(best)}", _ratio(best)) if best else ("none finished", "")
        )
        memory = (_megabytes(ours["peak_bytes"]), _megabytes(best["peak_bytes"]) if best else "")
        body.append(
            (
                problem,
                task,
                _seconds(ours),
                *winner,
                _ratio(lme4),
                *memory,
                _small(ours["above_lowest"]),
            )
        )
    return pipes((*header, "criterion of mixedfast above the lowest"), body)


def _details(table: list[dict]) -> str:
    header = (
        " library",
        "median",
        " fastest to slowest",
        "runs",
        "CPU time",
        "time / mixedfast",
        "memory",
        "above the lowest",
    )
    body = []
    for r in table:
        ran = r["runs"] > 0
        spread = f"{duration(r['fastest'])} to {duration(r['slowest'])}" if ran else ""
        timed = (
            _seconds(r),
            spread,
            str(r["runs"]) if ran else "",
            duration(r["cpu_seconds"]) if ran else "",
            _ratio(r),
        )
        verdict = r["verdict"] or ("agrees" if ran else "")
        body.append(
            (r["library"], *timed, _megabytes(r["peak_bytes"]), _small(r["above_lowest"]), verdict)
        )
    return pipes((*header, " agreement"), body)


def _limits(record: dict, table: list[dict]) -> str:
    """Compute the least time to read the columns and to factor the dense part."""
    machine = record["machine"]
    ours = {_which(e): e for e in record["entries"] if e["library"] == OURS}
    body = []
    for r in table:
        if r["library"] != OURS or r["status"] != "ran" or r["task"] != "standard errors":
            continue
        engine = ours[_which(r)]["answers"]["engine"]
        dense = engine.get("dense_columns", 0) if engine.get("components") == 1 else 0
        read = r["column_bytes"] / machine["read_bytes_per_second"]
        factor = r["evaluations"] * dense**3 / 3 / machine["dpotrf_flops_per_second"]
        share = f"{(read + factor) / r['seconds']:.0%}"
        body.append(
            (
                r["problem"],
                _seconds(r),
                duration(read),
                str(r["evaluations"]),
                str(dense),
                duration(factor),
                share,
            )
        )
    header = (
        " problem",
        "mixedfast",
        "reading the columns once",
        "factorizations",
        "of order",
        "time of factorizations",
        "minimum / mixedfast",
    )
    return pipes(header, body)


def _seconds(row: dict) -> str:
    if row["status"] == "timed out":
        return f"> {row['seconds']:g} s"
    return duration(row["seconds"]) if row["status"] == "ran" else row["status"]


def duration(seconds: float) -> str:
    """Format seconds with a unit: 1.2 s, 35 ms, 7 µs."""
    unit, name = (1, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")
    return f"{unit * seconds:.3g} {name}"


def _ratio(row: dict | None) -> str:
    if row is None or row["ratio_to_ours"] is None:
        return ""
    return ("> " if row["status"] == "timed out" else "") + f"{row['ratio_to_ours']:.3g}"


def _megabytes(bytes_: int | None) -> str:
    return "" if bytes_ is None else f"{bytes_ / 2**20:.0f} MiB"


def _small(x: float | None) -> str:
    return "" if x is None else f"{x:.1g}" if abs(x) < 1e-3 else f"{x:.3g}"
