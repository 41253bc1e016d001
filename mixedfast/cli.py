"""The ``mixedfast`` command: fit a model to a file, run the demonstration, show versions."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfast._versions import __version__
from mixedfast.errors import DataError, MixedFastError

if TYPE_CHECKING:
    from mixedfast.results import LMMResult, OLSResult

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
  mixedfast fit "passed ~ ses + (1 | school)" students.csv --family binomial
  mixedfast fit "y ~ x + (1 | g)" data.csv.gz --ddf kenward-roger --html report.html
  mixedfast demo --html demo.html
"""

_STATUS = """\
exit status:
  0    all went well (warnings, on standard error, do not change it)
  1    a formula, data or model that cannot be used, or a file that cannot be read or written;
       one line on standard error says which
  2    wrong usage
  130  interrupted (Ctrl-C)
"""

_ERROR, _INTERRUPTED, _READER_GONE = 1, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the shell unless given.

    Returns
    -------
    int
        Exit status: 0; 1 after one line on standard error that says what is wrong; 130 when
        interrupted; 141 when nobody reads the output any more, as in ``mixedfast versions | head
        -1``.

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
        with _warnings_in_one_line():
            options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _READER_GONE
    except (MixedFastError, MemoryError) as error:
        _say(f"{error}" or "not enough memory")
        return _ERROR
    except OSError as error:  # a full disk, a file that vanishes while it is read
        _say(
            ": ".join(str(part) for part in (error.filename, error.strerror) if part) or f"{error}"
        )
        _drop_output()
        return _ERROR
    return 0


def _drop_output() -> None:
    """Let what is left in the buffer go nowhere: it must not fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    """One line on standard error."""
    print(f"mixedfast: {' '.join(text.split())}", file=sys.stderr)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        _say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)  # shown, never an error of the command
        warnings.showwarning = show  # put back by catch_warnings
        yield


# --- usage ----------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mixedfast",
        description="Fit linear mixed models, exactly and fast.",
        epilog=f"{_EXAMPLES}\n{_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mixedfast {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_fit(commands)
    demo = commands.add_parser(
        "demo", help="the analysis of the introductory slides, on the shipped data"
    )
    demo.add_argument(
        "--html",
        metavar="OUT",
        type=Path,
        help="write it as an HTML page with pictures instead of printing it",
    )
    demo.set_defaults(run=_demo)
    shown = commands.add_parser("versions", help="what is installed and how it was built")
    shown.set_defaults(run=_versions)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="fit a mixed model to a CSV or Parquet file and print its summary",
        description="Fit a linear mixed model to a file and print its summary; without a random "
        "term, fit a linear regression; with --family, a generalized linear mixed model.",
        epilog=f"{_EXAMPLES}\n{_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument(
        "formula", metavar="FORMULA", help='lme4\'s language: "y ~ x + (1 + x | group)"'
    )
    fit.add_argument(
        "file",
        metavar="FILE",
        help=".csv, .tsv (.gz and other compressions too), .parquet, .feather, .dta, .sav or "
        ".xlsx; - for CSV from a pipe; a folder, or a pattern in quotes, such as "
        "'parts/*.parquet', for data larger than memory",
    )
    fit.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    fit.add_argument(
        "--ddf",
        metavar="M",
        choices=_DDF,
        help=f"method of the denominator degrees of freedom: {', '.join(_DDF)} "
        "(default: satterthwaite; with --family asymptotic, z tests)",
    )
    fit.add_argument(
        "--family",
        metavar="F",
        help="generalized linear mixed model: binomial, poisson, nbinom2, Gamma, inverse_gaussian "
        "or cumulative",
    )
    fit.add_argument("--link", metavar="L", help="link of --family, such as probit")
    fit.add_argument(
        "--trials", metavar="COL", help="column of the number of trials of --family binomial"
    )
    fit.add_argument("--anova", action="store_true", help="also print the analysis of variance")
    fit.add_argument(
        "--type",
        choices=("I", "II", "III"),
        help="sums of squares of --anova (default: III)",
    )
    fit.add_argument(
        "--weights",
        metavar="COL",
        help="column of precision weights: residual variance sigma^2 / weight",
    )
    fit.add_argument(
        "--offset", metavar="COL", help="column that is part of the response with coefficient one"
    )
    fit.add_argument(
        "--categorical",
        metavar="COL",
        action="append",
        default=[],
        help="take a column of numbers as categories (repeatable)",
    )
    fit.add_argument(
        "--na",
        choices=("omit", "raise"),
        default="omit",
        help="rows with missing values: leave them out, or refuse (default: %(default)s)",
    )
    fit.add_argument(
        "--html",
        metavar="OUT",
        type=Path,
        help="also write a report: tables, pictures, and a glossary",
    )
    fit.set_defaults(run=_fit, wrong_usage=fit.error)


# --- commands -------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> None:
    import mixedfast as mf
    from mixedfast.formula.parser import parse
    from mixedfast.report.text import anova_text

    if options.type and not options.anova:
        options.wrong_usage("--type needs --anova")
    data = _data(options.file, options.categorical)
    common = {"weights": options.weights, "offset": options.offset, "na_action": options.na}
    if options.family is None and (options.link or options.trials):
        options.wrong_usage("--link and --trials need --family")
    ddf = options.ddf or ("asymptotic" if options.family else "satterthwaite")
    m: LMMResult | OLSResult
    if options.family is not None:
        if options.html is not None or options.anova or options.ml:
            options.wrong_usage("--family is not for --html, --anova and --ml")
        own = {"family": options.family, "link": options.link, "trials": options.trials}
        generalized = mf.glmer(options.formula, data, **own, **common)
        generalized.library = "pandas"
        print(generalized.summary(ddf=ddf))
        return
    if parse(options.formula, require_random=False).random:
        m = mf.lmer(options.formula, data, REML=not options.ml, **common)
    elif options.ml:
        options.wrong_usage(
            "--ml is for mixed models, and this formula has no random term such as (1 | group)"
        )
    else:
        m = mf.lm(options.formula, data, **common)
    m.library = "pandas"
    if options.html is not None:  # before anything is printed: whoever reads that may stop reading
        _write_page(options.html, m.to_html(ddf=ddf) or "", [options.file])
    print(m.summary(ddf=ddf))
    if options.anova:
        kind = options.type or "III"
        heading = f"Type {kind} analysis of variance ({ddf} degrees of freedom)"
        print(f"\n{anova_text(m.anova(type=kind, ddf=ddf), heading)}")


def _data(file: str, categorical: Sequence[str]) -> Any:
    """Read one file as a table; return a folder or a pattern as it is, to be read in batches."""
    from mixedfast.data.read_table import read_table, with_categories

    if not (Path(file).is_dir() or any(mark in file for mark in "*?[")):
        return with_categories(read_table(file), categorical)
    if categorical:
        raise DataError(
            "--categorical needs a single file: several files are read in batches with their own "
            "types"
        )
    return file


def _write_page(path: Path, page: str, inputs: Sequence[str] = ()) -> None:
    """Write a report; the data that were read are not replaced."""
    from mixedfast.data.whole_file import write_text

    try:
        write_text("--html", path, page, inputs)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def _demo(options: argparse.Namespace) -> None:
    from mixedfast._demo import demo_html, demo_text

    if options.html is None:
        print(demo_text())
        return
    _write_page(options.html, demo_html())


def _versions(options: argparse.Namespace) -> None:
    from mixedfast._versions import show_versions

    show_versions()
