"""The ``mixedfast`` command: fit a model to a file, run the demonstration, show versions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixedfast.errors import DataError, MixedFastError

__all__ = ["main"]

_DDF = (
    "satterthwaite",
    "kenward-roger",
    "residual",
    "group",
    "hlm",
    "inner-outer",
    "between-within",
    "containment",
    "asymptotic",
)

_EXAMPLES = """\
examples:
  mixedfast fit "math ~ 1 + ses + (1 + ses | school)" students.csv
  mixedfast fit "score ~ dose * time + (1 | clinic/patient)" trial.parquet --ml --anova
  mixedfast demo

exit status: 0 when all went well, 1 for a formula or data that cannot be used, 2 for wrong usage.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the shell unless given.

    Returns
    -------
    int
        Exit status: 0, or 1 after one line on standard error that says what is wrong.

    Raises
    ------
    SystemExit
        With status 2 for wrong usage, 0 after ``--help``.

    Examples
    --------
    >>> main(["versions"])  # doctest: +ELLIPSIS
    mixedfast ...
    0
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except MixedFastError as error:
        print(f"mixedfast: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mixedfast",
        description="Fit linear mixed models, exactly and fast.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_fit(commands)
    demo = commands.add_parser("demo", help="the analysis of the introductory slides, on the shipped data")
    demo.set_defaults(run=_demo)
    shown = commands.add_parser("versions", help="what is installed and how it was built")
    shown.set_defaults(run=_versions)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="fit a mixed model to a CSV or Parquet file and print its summary",
        description="Fit a linear mixed model to a CSV or Parquet file and print its summary.",
    )
    fit.add_argument("formula", metavar="FORMULA", help='lme4\'s language: "y ~ x + (1 + x | group)"')
    fit.add_argument("file", metavar="FILE", type=Path, help="a .csv (.csv.gz) or .parquet file")
    fit.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    fit.add_argument(
        "--ddf",
        metavar="M",
        choices=_DDF,
        default="satterthwaite",
        help=f"method of the denominator degrees of freedom: {', '.join(_DDF)} (default: %(default)s)",
    )
    fit.add_argument("--anova", action="store_true", help="also print the type III analysis of variance")
    fit.set_defaults(run=_fit)


def _fit(options: argparse.Namespace) -> None:
    import mixedfast as mf
    from mixedfast.report.text import anova_text

    m = mf.lmer(options.formula, _read(options.file), REML=not options.ml)
    print(m.summary(ddf=options.ddf))
    if options.anova:
        heading = f"Type III analysis of variance ({options.ddf} degrees of freedom)"
        print(f"\n{anova_text(m.anova(type='III', ddf=options.ddf), heading)}")


def _demo(options: argparse.Namespace) -> None:
    from mixedfast.report.demo import demo_text

    print(demo_text())


def _versions(options: argparse.Namespace) -> None:
    from mixedfast.versions import show_versions

    show_versions()


def _read(path: Path) -> Any:
    """A table from a file, told by its ending.

    Raises
    ------
    DataError
        When the file is missing, of another kind, or cannot be read.
    """
    import pandas as pd

    name = path.name.lower()
    reader: Callable[[Path], Any]
    if name.endswith((".csv", ".csv.gz")):
        reader = pd.read_csv
    elif name.endswith(".parquet"):
        reader = pd.read_parquet
    else:
        raise DataError(f"cannot tell what {path} is: the name should end in .csv, .csv.gz or .parquet")
    try:
        return reader(path)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read {path}: {reason}") from error


if __name__ == "__main__":
    sys.exit(main())
