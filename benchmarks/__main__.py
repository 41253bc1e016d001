"""The command: `python -m benchmarks run | report | scaling | environments | list`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, fields
from pathlib import Path

from benchmarks.environments import make_environments
from benchmarks.libraries import LIBRARIES
from benchmarks.machine import describe
from benchmarks.pictures import draw_scaling, draw_times
from benchmarks.problems import PROBLEMS, QUICK
from benchmarks.report import markdown, rows, to_csv
from benchmarks.runner import Overlap, Settings, one_run_at_a_time, run
from benchmarks.scaling import STEPS, measure, to_markdown

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    try:
        return asked.do(asked) or 0
    except Overlap as why:
        print(why, file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help)
        sub.set_defaults(do=do)
        return sub

    default = Settings(threads=len(os.sched_getaffinity(0)))
    for name, do, help in (
        ("run", _run, "time the libraries that are installed, and write the report"),
        ("scaling", _scaling, "time and memory of mixedfast from 10^4 to 10^7 rows"),
    ):
        sub = command(name, do, help)
        sub.add_argument(
            "--repeat",
            type=int,
            default=default.repeat,
            help="fits of each library (more of very short ones)",
        )
        sub.add_argument(
            "--limit", type=float, default=default.limit, help="seconds a fit may take"
        )
        sub.add_argument(
            "--budget",
            type=float,
            default=default.budget,
            help="seconds after which a library is not repeated",
        )
        sub.add_argument(
            "--threads", type=int, default=default.threads, help="threads of every library"
        )
        sub.add_argument("--seed", type=int, default=default.seed, help="of the made-up tables")
        sub.add_argument(
            "--scale", type=float, default=default.scale, help="share of the groups, for trials"
        )
        sub.add_argument("--out", type=Path, default=HERE / "results", help="where the results go")
        sub.add_argument(
            "--data", type=Path, default=HERE / ".data", help="where the tables are kept"
        )
        if name == "run":
            sub.add_argument(
                "--problems",
                type=_keys(PROBLEMS),
                default=list(QUICK),
                help="P1,P8 or all; else the quick set",
            )
            sub.add_argument(
                "--libraries",
                type=_keys(LIBRARIES),
                default=list(LIBRARIES),
                help="mixedfast,glmm or all",
            )
            sub.add_argument(
                "--update",
                action="store_true",
                help="keep the last run's results of other problems",
            )
        else:
            sub.add_argument("--steps", type=_numbers, default=STEPS, help="numbers of rows")
    sub = command("report", _report, "write tables and pictures again from the last run")
    sub.add_argument("--out", type=Path, default=HERE / "results")
    command(
        "environments",
        lambda asked: make_environments(),
        "a virtual environment for each Python library",
    )
    command("list", _list, "problems and libraries")
    return top


def _keys(known: dict):
    def parse(text: str) -> list[str]:
        keys = list(known) if text == "all" else text.split(",")
        unknown = [key for key in keys if key not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return keys

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _settings(asked: argparse.Namespace) -> Settings:
    return Settings(**{f.name: getattr(asked, f.name) for f in fields(Settings)})


def _say(line: str) -> None:
    print(line, flush=True)


def _run(asked: argparse.Namespace) -> int:
    settings = _settings(asked)
    problems, libraries = (
        [PROBLEMS[key] for key in asked.problems],
        [LIBRARIES[name] for name in asked.libraries],
    )
    file = asked.out / "runs.json"
    kept = json.loads(file.read_text())["entries"] if asked.update and file.exists() else []
    asked.out.mkdir(parents=True, exist_ok=True)
    with one_run_at_a_time():
        record = {
            "machine": describe(settings.threads),
            "settings": asdict(settings),
            "entries": kept,
        }
        for entries in run(problems, libraries, settings, asked.data, _say):
            done = {e["problem"] for e in entries}
            record["entries"] = in_order(
                [*(e for e in record["entries"] if e["problem"] not in done), *entries]
            )
            file.write_text(
                json.dumps(record, indent=1) + "\n"
            )  # what is done is kept if the run is broken off
    return _report(asked)


def in_order(entries: list[dict]) -> list[dict]:
    """By problem, as they are listed; within one as they came."""
    place = {key: at for at, key in enumerate(PROBLEMS)}
    return sorted(entries, key=lambda e: place[e["problem"]])


def _report(asked: argparse.Namespace) -> int:
    record = json.loads((asked.out / "runs.json").read_text())
    table = rows(record["entries"])
    page = markdown(record)
    (asked.out / "table.md").write_text(page)
    (asked.out / "table.csv").write_text(to_csv(table))
    draw_times(table, asked.out / "times.svg")
    _say(page)
    return 0


def _scaling(asked: argparse.Namespace) -> int:
    settings = _settings(asked)
    with one_run_at_a_time():
        record = {"machine": describe(settings.threads), "settings": asdict(settings)}
        record["points"] = measure(settings, asked.data, _say, asked.steps)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "scaling.json").write_text(json.dumps(record, indent=1) + "\n")
    (asked.out / "scaling.md").write_text(to_markdown(record))
    draw_scaling(record["points"], asked.out / "scaling.svg")
    _say(to_markdown(record))
    return 0


def _list(asked: argparse.Namespace) -> int:
    for problem in PROBLEMS.values():
        _say(f"{problem.key:5} {problem.title}\n      {problem.model.formula}")
    for library in LIBRARIES.values():
        _say(f"{library.name:13} {'installed' if library.interpreter else 'not installed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
