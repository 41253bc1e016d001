"""Time two source trees in turns and report where this one is slower.

`python -m benchmarks.against_base BASE`.

    python -m benchmarks.against_base BASE

Both trees must be built, each with its own `.venv` (`make .venv/benched-with build`). In each round
the micro benchmarks of the base run, then those of this tree. The minimum over all rounds is
compared: other programs on the machine only ever add time. Benchmarks that look slower are run for
as many rounds again. The exit status is 1 if one still is slower by more than `--slower`.
Benchmarks that one tree lacks are listed and not compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
#: Ratio of minima above which a benchmark counts as slower. It is wide, because continuous
#: integration runs on shared machines.
SLOWER = 1.3


@dataclass(frozen=True)
class Comparison:
    """One benchmark in both trees, in seconds."""

    name: str
    base: float
    head: float

    @property
    def ratio(self) -> float:
        """Time of this tree over time of the base."""
        return self.head / self.base


def fastest(reports: Iterable[Mapping]) -> dict[str, float]:
    """Return the minimum in seconds of each benchmark over several pytest-benchmark reports."""
    least: dict[str, float] = {}
    for report in reports:
        for bench in report["benchmarks"]:
            seconds = float(bench["stats"]["min"])
            least[bench["fullname"]] = min(seconds, least.get(bench["fullname"], seconds))
    return least


def compared(base: Mapping[str, float], head: Mapping[str, float]) -> list[Comparison]:
    """Pair the benchmarks that both trees have, the largest ratio first."""
    both = [Comparison(name, base[name], head[name]) for name in base.keys() & head.keys()]
    return sorted(both, key=lambda each: (-each.ratio, each.name))


def markdown(comparisons: list[Comparison], only_one: Iterable[str], slower: float) -> str:
    """Format a comparison as a Markdown table; rows above the limit are in bold."""
    lines = [
        f"Minimum time of this tree over the base; more than {slower:g} counts as slower.",
        "",
        "| benchmark | base, ms | this tree, ms | ratio |",
        "|---|--:|--:|--:|",
    ]
    for each in comparisons:
        ratio = f"**{each.ratio:.2f}**" if each.ratio > slower else f"{each.ratio:.2f}"
        lines.append(f"| {each.name} | {each.base * 1e3:.3f} | {each.head * 1e3:.3f} | {ratio} |")
    missing = sorted(only_one)
    if missing:
        lines += ["", "In one tree only: " + ", ".join(missing)]
    return "\n".join(lines) + "\n"


def run_once(tree: Path, selection: Sequence[str]) -> dict:
    """Run benchmarks of a tree with its own Python and return the report of pytest-benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            str(tree / ".venv" / "bin" / "python"),
            *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
            f"--benchmark-json={report}",
            *selection,
        ]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"benchmarks of {tree} ended with status {done.returncode}:\n{done.stdout}")
        return json.loads(report.read_text())


def in_turns(
    trees: Sequence[Path], selection: Sequence[str], rounds: int
) -> list[dict[str, float]]:
    """Run both trees in turns and return the minima of each tree, in seconds."""
    reports: list[list[dict]] = [[] for _ in trees]
    for _ in range(rounds):
        for tree, found in zip(trees, reports, strict=True):
            found.append(run_once(tree, selection))
    return [fastest(found) for found in reports]


def measured(
    trees: Sequence[Path], selection: Sequence[str], rounds: int, slower: float
) -> list[dict[str, float]]:
    """Return the minima of both trees, with a second measurement of what looks slower."""
    base, head = in_turns(trees, selection, rounds)
    suspects = [each.name for each in compared(base, head) if each.ratio > slower]
    if suspects:
        for seconds, more in zip((base, head), in_turns(trees, suspects, rounds), strict=True):
            seconds.update({name: min(more[name], seconds[name]) for name in suspects})
    return [base, head]


def main(arguments: list[str] | None = None) -> int:
    """Measure both trees, print the table and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against_base",
        description="Time two source trees in turns and report where this one is slower.",
    )
    parser.add_argument("base", type=Path, help="the tree to compare with, built in place")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each tree, in turns")
    parser.add_argument("--slower", type=float, default=SLOWER, help="largest ratio accepted")
    parser.add_argument("--select", help="benchmarks to run, as pytest's -k")
    options = parser.parse_args(arguments)
    trees = (options.base.resolve(), HERE)
    selection = ["benchmarks/micro", *(("-k", options.select) if options.select else ())]
    base, head = measured(trees, selection, options.rounds, options.slower)
    comparisons = compared(base, head)
    print(markdown(comparisons, base.keys() ^ head.keys(), options.slower))
    return int(any(each.ratio > options.slower for each in comparisons))


if __name__ == "__main__":
    sys.exit(main())
