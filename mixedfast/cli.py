"""The ``mixedfast`` command: fit a model to a file, run the demonstration, show versions."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfast._versions import __version__
from mixedfast.errors import DataError, MixedFastError

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.results import GLMMResult, LMMResult, OLSResult

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
  mixedfast fit "y ~ x + (1 | g)" data.csv --where "x > 0 and sex == 'f'" --table models.docx
  mixedfast fit "y ~ x + (1 | g)" 'parts/*.parquet' --checkpoint sums.mf --save fit.mf
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

#: Number of the last of the three streams that every program has.
_STANDARD_ERROR = 2

#: Plots that need no further argument.
_PLOTS = ("caterpillar", "qq", "residuals", "shrinkage", "slopes")

_TABLES = (".csv", ".json", ".html", ".docx")

#: What a condition of --where may consist of: columns, numbers, text, comparisons and arithmetic.
_CONDITION = (
    ast.Name,
    ast.Constant,
    ast.Compare,
    ast.BoolOp,
    ast.UnaryOp,
    ast.BinOp,
    ast.List,
    ast.Tuple,
    ast.expr_context,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)


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
    if not _open_streams():
        _say("standard output is closed: nothing can be printed")
        return _ERROR
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


def _open_streams() -> bool:
    """Prepare the output for any text; return whether there is an output.

    Letters that the terminal cannot show are printed as escapes such as ``\\xe9``. If a stream is
    closed, its number is taken, so that no file that is written later gets the number of an output.
    """
    while (taken := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(taken)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout is not None


def _say(text: str) -> None:
    """Print one line on standard error, if it is open."""
    if sys.stderr is None:  # print would write to standard output
        return
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
        "formula", metavar="FORMULA", type=_text, help='lme4\'s language: "y ~ x + (1 + x | group)"'
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
        type=_text,
        help="column of precision weights: residual variance sigma^2 / weight",
    )
    fit.add_argument(
        "--offset",
        metavar="COL",
        type=_text,
        help="column that is part of the response with coefficient one",
    )
    fit.add_argument(
        "--categorical",
        metavar="COL",
        type=_text,
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
    _add_rows(fit)
    _add_outputs(fit)
    fit.set_defaults(run=_fit, wrong_usage=fit.error)


def _add_rows(fit: argparse.ArgumentParser) -> None:
    fit.add_argument(
        "--where",
        metavar="CONDITION",
        type=_text,
        help="use the rows of a single file that satisfy it: \"age >= 18 and sex == 'f'\"",
    )
    fit.add_argument(
        "--levels",
        metavar="COL=A,B",
        type=_text,
        action="append",
        default=[],
        help="all levels of a column, in this order, for data read in batches (repeatable)",
    )
    fit.add_argument(
        "--checkpoint",
        metavar="SUMS",
        help="file for the sums over the batches read so far; the same command after an "
        "interruption continues from it",
    )
    fit.add_argument(
        "--threads", metavar="N", type=int, help="number of threads that read the rows"
    )


def _add_outputs(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("--save", metavar="OUT", help="save the result, for mixedfast.load in Python")
    fit.add_argument(
        "--table",
        metavar="OUT",
        help="write the table of fixed effects to a .csv or .json file, or the table of the model "
        "to an .html or .docx file; csv, json or html alone prints it in place of the summary",
    )
    fit.add_argument(
        "--plot",
        nargs=2,
        metavar=("PLOT", "OUT"),
        action="append",
        default=[],
        help=f"draw {', '.join(_PLOTS)} to a .png, .svg or .pdf file (repeatable)",
    )


def _text(argument: str) -> str:
    """Return an argument as text where the shell's encoding is ASCII but the argument is UTF-8."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        raise argparse.ArgumentTypeError("the text is not UTF-8") from None


# --- commands -------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> None:
    from mixedfast.report.text import anova_text

    if options.type and not options.anova:
        options.wrong_usage("--type needs --anova")
    options.ddf = ddf = options.ddf or ("asymptotic" if options.family else "satterthwaite")
    if options.family is None and (options.link or options.trials):
        options.wrong_usage("--link and --trials need --family")
    if options.family is not None:
        print(_generalized(options).summary(ddf=ddf))
        return
    table = _table_kind(options)
    for plot, _ in options.plot:
        if plot not in _PLOTS:
            options.wrong_usage(f"--plot {plot}: choose from {', '.join(_PLOTS)}")
    m = _model(options)
    m.library = "pandas"
    # files before anything is printed: whoever reads that may stop reading
    if options.html is not None:
        _write_page(options.html, m.to_html(ddf=ddf) or "", [options.file])
    if options.save is not None:
        m.save(options.save)
    for plot, path in options.plot:
        _draw(m, plot, path, options.file)
    if table and Path(options.table).suffix:
        _write_table(m, options, table)
    printed = table == f".{options.table}"
    print(_table_text(m, ddf, table) if table and printed else m.summary(ddf=ddf))
    if options.anova:
        kind = options.type or "III"
        heading = f"Type {kind} analysis of variance ({ddf} degrees of freedom)"
        print(f"\n{anova_text(m.anova(type=kind, ddf=ddf), heading)}")


def _generalized(options: argparse.Namespace) -> GLMMResult:
    import mixedfast as mf

    linear = ("html", "anova", "ml", "save", "table", "plot", "levels", "checkpoint", "threads")
    wrong = [f"--{name}" for name in linear if getattr(options, name)]
    if wrong:
        options.wrong_usage(f"--family is not for {wrong[0]}")
    m = mf.glmer(
        options.formula,
        _data(options),
        family=options.family,
        link=options.link,
        trials=options.trials,
        weights=options.weights,
        offset=options.offset,
        na_action=options.na,
    )
    m.library = "pandas"
    return m


def _model(options: argparse.Namespace) -> LMMResult | OLSResult:
    import mixedfast as mf
    from mixedfast.formula.parser import parse

    common = {"weights": options.weights, "offset": options.offset, "na_action": options.na}
    if parse(options.formula, require_random=False).random:
        return mf.lmer(
            options.formula,
            _data(options),
            REML=not options.ml,
            levels=_levels(options) or None,
            checkpoint=options.checkpoint,
            threads=options.threads,
            **common,
        )
    given = ("ml", "levels", "checkpoint", "threads")
    wrong = [f"--{name}" for name in given if getattr(options, name)]
    if wrong:
        options.wrong_usage(
            f"{wrong[0]} is for mixed models, and this formula has no random term such as "
            "(1 | group)"
        )
    return mf.lm(options.formula, _data(options), **common)


def _levels(options: argparse.Namespace) -> dict[str, list[str]]:
    levels = {}
    for given in options.levels:
        column, sign, values = given.rpartition("=")
        if not sign:
            options.wrong_usage(f"--levels {given}: write COLUMN=A,B,C")
        levels[column] = values.split(",")
    return levels


def _data(options: argparse.Namespace) -> Any:
    """Return the path for `lmer` to read, or the table where the command changes it."""
    from mixedfast.data.read_table import read_table, with_categories

    file = options.file
    batches = [f"--{name}" for name in ("checkpoint", "levels") if getattr(options, name)]
    table = [f"--{name}" for name in ("categorical", "where") if getattr(options, name)]
    several = Path(file).is_dir() or any(mark in file for mark in "*?[")
    if table and (batches or several):
        raise DataError(
            f"{table[0]} needs a single file that is read whole: several files, and those of "
            "--checkpoint and --levels, are read in batches with their own types"
        )
    if batches and file == "-":
        raise DataError(f"{batches[0]} needs a file: standard input cannot be read again")
    if batches or several or not (table or options.family or not Path(file).is_file()):
        return file
    rows = read_table(file)
    return with_categories(_rows_where(rows, options.where), options.categorical)


def _rows_where(rows: pd.DataFrame, condition: str | None) -> pd.DataFrame:
    """Return the rows that satisfy a condition.

    Raises
    ------
    DataError
        When the condition cannot be read or compared, names a column that is not there, or leaves
        no row.
    """
    if condition is None:
        return rows
    import pandas as pd
    from pandas.api.types import is_bool_dtype

    from mixedfast.formula.expressions import expression_tree

    tree, names = expression_tree(condition)
    for node in ast.walk(tree):
        if not isinstance(node, _CONDITION):
            raise DataError(
                f"--where {condition}: write comparisons of columns with numbers or quoted text, "
                "joined by and, or, not"
            )
        if isinstance(node, ast.Name) and names.get(node.id, node.id) not in rows.columns:
            raise DataError(
                f"--where {condition}: there is no column {names.get(node.id, node.id)!r} in the "
                "data"
            )
    try:
        kept = pd.Series(rows.eval(condition, engine="python"))
    except (TypeError, ValueError, KeyError, SyntaxError, NotImplementedError) as error:
        raise DataError(f"--where {condition} cannot be computed: {error}") from error
    if len(kept) != len(rows) or not is_bool_dtype(kept):
        raise DataError(f"--where {condition}: write a comparison, such as age >= 18")
    kept = kept.fillna(False)
    if not kept.any():
        raise DataError(f"--where {condition}: no row satisfies it")
    return rows[kept.to_numpy(dtype=bool)]


def _table_kind(options: argparse.Namespace) -> str | None:
    """Return the ending of the table's format, for a file or to be printed."""
    if options.table is None:
        return None
    kind = Path(options.table).suffix.lower() or f".{options.table}"
    if kind not in _TABLES:
        options.wrong_usage(
            f"--table {options.table}: give csv, json or html, or a file that ends in one of "
            f"{', '.join(_TABLES)}"
        )
    if kind == ".docx" and options.table == "docx":
        options.wrong_usage("--table docx: a Word file needs a name, such as model.docx")
    return kind


def _table_text(m: LMMResult | OLSResult, ddf: str, kind: str) -> str:
    import mixedfast as mf

    if kind == ".html":
        return mf.table(m, ddf=ddf).to_html() or ""
    rows = m.coef_table(ddf=ddf).reset_index()
    if kind == ".json":
        return str(rows.to_json(orient="records", double_precision=15))
    return str(rows.to_csv(index=False)).rstrip()


def _write_table(m: LMMResult | OLSResult, options: argparse.Namespace, kind: str) -> None:
    import mixedfast as mf
    from mixedfast.data.whole_file import write_text

    if kind == ".docx":
        mf.table(m, ddf=options.ddf).to_docx(options.table)
        return
    text = _table_text(m, options.ddf, kind)
    write_text("--table", options.table, f"{text}\n", [options.file])


def _draw(m: LMMResult | OLSResult, plot: str, path: str, data: str) -> None:
    """Draw one plot to a file."""
    import numpy as np

    from mixedfast.data.whole_file import whole_file

    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise DataError(f"--plot {plot} {path}: the name should end in .png, .svg or .pdf")
    draw = getattr(m.plot, plot, None)
    if draw is None:
        raise DataError(f"--plot {plot}: a regression without random terms has no such plot")
    figure = np.ravel(draw())[0].figure
    with whole_file("--plot", path, [data]) as file:
        figure.savefig(file, format=kind, dpi=200, bbox_inches="tight")


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
