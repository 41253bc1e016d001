"""From the entries of a run to tables: medians, ratios, memory, criteria, agreement."""

from __future__ import annotations

import csv
import io
import statistics
from itertools import groupby

from benchmarks.agreement import compare

__all__ = ["markdown", "rows", "to_csv"]

OURS = "mixedfast"
FIELDS = (
    "problem task library status seconds fastest slowest cpu_seconds runs ratio_to_ours peak_bytes loaded_bytes column_bytes "
    "criterion above_lowest beta_off se_off sd_off df_off evaluations verdict"
).split()


def rows(entries: list[dict]) -> list[dict]:
    """One flat row an entry, the fastest first. `ratio_to_ours`: its median over ours; where it timed out, a lower bound."""
    out = []
    for (_, _), group in groupby(entries, key=lambda e: (e["problem"], e["task"])):
        together = list(group)
        agreement = compare(together)
        ours = next((_median(e) for e in together if e["library"] == OURS), None)
        table = [_row(e, agreement.get(e["library"], {}), ours) for e in together]
        out += sorted(table, key=lambda r: (r["status"] != "ran", r["seconds"] or float("inf")))
    return out


def _median(entry: dict) -> float | None:
    return statistics.median(entry["times"]) if entry["times"] else None


def _row(entry: dict, agreement: dict, ours: float | None) -> dict:
    times, answers = entry["times"], entry.get("answers", {})
    seconds = _median(entry)
    if entry["status"] == "timed out" and seconds is None:
        seconds = entry["limit"]
    row = {
        **{name: entry.get(name) for name in ("problem", "task", "library", "status", "peak_bytes", "loaded_bytes", "column_bytes")},
        "seconds": seconds,
        "fastest": min(times, default=None),
        "slowest": max(times, default=None),
        "cpu_seconds": statistics.median(entry["cpu_times"]) if times else None,
        "runs": len(times),
        "ratio_to_ours": seconds / ours if seconds and ours else None,
        "criterion": answers.get("criterion"),
        "evaluations": answers.get("evaluations"),
    }
    row |= {name: agreement.get(name) for name in ("above_lowest", "beta_off", "se_off", "sd_off", "df_off")}
    row["verdict"] = agreement.get("verdict", entry.get("reason", ""))
    return {name: row[name] for name in FIELDS}


def to_csv(table: list[dict]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def markdown(record: dict) -> str:
    """The page: the machine, ours against the best of the others, then every library on every problem."""
    entries, table = record["entries"], rows(record["entries"])
    titles = {e["problem"]: e for e in entries}
    parts = ["# Benchmarks", "", _about(record), "", "## Ours against the best of the others", "", *_summary(table), ""]
    parts += ["## How near to the machine's limit", "", *_limits(record, table), ""]
    for (problem, task), group in groupby(table, key=lambda r: (r["problem"], r["task"])):
        facts = titles[problem]
        parts += [f"## {problem}, {task}: {facts['title']}", "", f"`{facts['formula']}`, {facts['rows']:,} rows, "]
        parts[-1] += ("REML" if facts["reml"] else "ML") + (f". {facts['note']}" if facts["note"] else "")
        parts += ["", *_details(list(group)), ""]
    return "\n".join(parts)


def _about(record: dict) -> str:
    m, s = record["machine"], record["settings"]
    used = sorted({f"{e['library']}: {', '.join(e['blas'])}" for e in record["entries"] if e.get("blas")})
    lines = [
        f"{m['date']}, {m['cpu']}, {m['cores']} cores, {m['memory_bytes'] / 2**30:.0f} GiB, {m['system']}; "
        f"{m['threads']} thread{'s' * (m['threads'] > 1)} for every library. Copies {m['copy_bytes_per_second'] / 1e9:.1f} GB/s, "
        f"`dgemm` {m['dgemm_flops_per_second'] / 1e9:.0f} GFLOP/s, `dpotrf` {m['dpotrf_flops_per_second'] / 1e9:.0f} GFLOP/s "
        f"(order {m['order']}).",
        "",
        "Times are medians, from a table in memory to the standard errors of the fixed effects, each library in its own process, "
        "in turns. Memory is the highest of that process while it fits, table and interpreter included, as the kernel counts it. "
        f"A fit that takes longer than {s['limit']:g} s reads so.",
    ]
    if s["scale"] != 1:
        lines[2] += f" **Problems are scaled by {s['scale']:g}: a trial, not a result.**"
    return "\n".join([*lines, "", "Linear algebra: " + "; ".join(used) + "."])


def right(row: dict) -> bool:
    """Ran and fits no worse than others; what fits ML where REML was asked counts when its estimates agree."""
    return row["status"] == "ran" and not any(word in row["verdict"] for word in ("WORSE", "off by"))


def _summary(table: list[dict]) -> list[str]:
    lines = ["| problem | task | ours | best other | times ours | lme4 | memory, ours | best other's | our criterion above the lowest |"]
    lines.append("|---|---|--:|---|--:|--:|--:|--:|--:|")
    for (problem, task), group in groupby(table, key=lambda r: (r["problem"], r["task"])):
        together = list(group)
        ours = next((r for r in together if r["library"] == OURS and r["status"] == "ran"), None)
        if ours is None:
            continue
        best = next((r for r in together if r["library"] != OURS and right(r)), None)
        lme4 = next((r for r in together if r["library"] in ("lme4", "lmerTest", "pbkrtest") and r["seconds"]), None)
        cells = [
            *(problem, task, _seconds(ours)),
            f"{best['library']} {_seconds(best)}" if best else "none finished",
            _ratio(best),
            _ratio(lme4),
            _megabytes(ours["peak_bytes"]),
            _megabytes(best["peak_bytes"]) if best else "",
            _small(ours["above_lowest"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _details(table: list[dict]) -> list[str]:
    lines = ["| library | median | fastest to slowest | runs | CPU time | times ours | memory | criterion above the lowest | agreement |"]
    lines.append("|---|--:|---|--:|--:|--:|--:|--:|---|")
    for r in table:
        spread = f"{_time(r['fastest'])} to {_time(r['slowest'])}" if r["runs"] else ""
        cpu = _time(r["cpu_seconds"]) if r["runs"] else ""
        cells = [r["library"], _seconds(r), spread, str(r["runs"] or ""), cpu, _ratio(r), _megabytes(r["peak_bytes"])]
        lines.append("| " + " | ".join([*cells, _small(r["above_lowest"]), r["verdict"] or "agrees"]) + " |")
    return lines


def _limits(record: dict, table: list[dict]) -> list[str]:
    """The least time the machine needs to read the columns once and to factor the dense part as often as we did."""
    machine, lines = record["machine"], ["| problem | ours | reading the columns once | dense factorizations | the two, of ours |"]
    lines.append("|---|--:|--:|--:|--:|")
    by_key = {(e["problem"], e["task"]): e for e in record["entries"] if e["library"] == OURS}
    for r in table:
        if r["library"] != OURS or r["status"] != "ran" or r["task"] != "standard errors":
            continue
        engine = by_key[r["problem"], r["task"]]["answers"]["engine"]
        dense = engine.get("dense_columns", 0) if engine.get("components") == 1 else 0
        read = r["column_bytes"] / machine["read_bytes_per_second"]
        factor = r["evaluations"] * dense**3 / 3 / machine["dpotrf_flops_per_second"]
        lines.append(f"| {r['problem']} | {_seconds(r)} | {_time(read)} | {_time(factor)} | {(read + factor) / r['seconds']:.0%} |")
    return lines


def _seconds(row: dict) -> str:
    if row["status"] == "timed out":
        return f"> {row['seconds']:g} s"
    return _time(row["seconds"]) if row["status"] == "ran" else row["status"]


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _ratio(row: dict | None) -> str:
    if row is None or row["ratio_to_ours"] is None:
        return ""
    return ("> " if row["status"] == "timed out" else "") + f"{row['ratio_to_ours']:.3g}"


def _megabytes(bytes_: int | None) -> str:
    return "" if bytes_ is None else f"{bytes_ / 2**20:.0f} MiB"


def _small(x: float | None) -> str:
    return "" if x is None else f"{x:.1g}" if abs(x) < 1e-3 else f"{x:.3g}"
