"""Settings of the documentation site, with the plots and tables that `make docs` makes first."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mixedfast

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from make_pictures import make_pictures  # noqa: E402 (needs the path above)

project = "mixedfast"
author = "the authors of mixedfast"
version = release = mixedfast.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["made"]

html_theme = "alabaster"
html_title = "mixedfast"
html_theme_options = {
    "description": "Linear mixed-effects models with lme4 formulas",
    "page_width": "1180px",
    "code_font_size": "0.8em",
    "fixed_sidebar": True,
    "show_powered_by": False,
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sourcelink = False

# Single backticks in docstrings link to objects of the library; other names are shown as code.
default_role = "py:obj"
autodoc_member_order = "groupwise"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

NOT_MEASURED = "This copy of the source contains no measurements; `make bench` makes them.\n"


def measured(benchmarks: Path, made: Path) -> None:
    """Copy the results of the last benchmark runs, if there are any, for the page of benchmarks."""
    made.mkdir(exist_ok=True)
    parts = []
    for picture, table, says in (
        ("times.svg", "table.md", "Seconds from a table in memory to standard errors"),
        ("scaling.svg", "scaling.md", "Seconds and memory against the number of rows"),
    ):
        if (benchmarks / picture).exists():
            shutil.copy(benchmarks / picture, made / picture)
            parts.append(f"![{says}](made/{picture})\n")
        if (benchmarks / table).exists():
            parts.append((benchmarks / table).read_text(encoding="utf-8"))
    # no line break between a number and its unit
    text = re.sub(r"([\d.]+) (µs|ms|s|MiB)\b", "\\1\u00a0\\2", "\n".join(parts) or NOT_MEASURED)
    (made / "measured.md").write_text(text, encoding="utf-8")


def usage(made: Path) -> None:
    """Write the output of ``mixedfast --help`` and ``mixedfast fit --help`` to files."""
    made.mkdir(exist_ok=True)
    for name, arguments in {"help": ["--help"], "help_fit": ["fit", "--help"]}.items():
        call = [sys.executable, "-m", "mixedfast", *arguments]
        printed = subprocess.run(
            call, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}
        )
        (made / f"{name}.txt").write_text(printed.stdout, encoding="utf-8")


def contributing(guide: Path, made: Path) -> None:
    """Copy CONTRIBUTING.md with links to pages of the site.

    Other files of the repository are named without a link.
    """
    made.mkdir(exist_ok=True)
    text = guide.read_text(encoding="utf-8").replace("](docs/", "](")
    text = re.sub(r"\[([^]]+)\]\([A-Z_]+\.md\)", r"`\1`", text)
    (made / "contributing.md").write_text(text, encoding="utf-8")


def link_to_contributing(app, page: str, source: list[str]) -> None:
    """Point links to CONTRIBUTING.md, which is outside the site, to its page in the site."""
    source[0] = source[0].replace("](../CONTRIBUTING.md)", "](contributing.md)")


def setup(app) -> None:
    """Register the change of links with Sphinx."""
    app.connect("source-read", link_to_contributing)


usage(HERE / "made")
contributing(HERE.parent / "CONTRIBUTING.md", HERE / "made")
measured(HERE.parent / "benchmarks" / "results", HERE / "made")
make_pictures(HERE / "made")
