"""Settings of the site. `make docs` builds it; pictures and measured tables are made or copied first."""

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

from make_pictures import make_pictures  # noqa: E402 (a neighbour of this file)

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
    "description": "Linear mixed models, exactly and very fast",
    "page_width": "1180px",
    "code_font_size": "0.8em",
    "fixed_sidebar": True,
    "show_powered_by": False,
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sourcelink = False

# Docstrings write `name` for anything that has a name; a name that is no object of the library stays a word in code.
default_role = "py:obj"
autodoc_member_order = "groupwise"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

NOT_MEASURED = "No measurements are stored in this copy of the source: `make bench` takes them.\n"


def measured(benchmarks: Path, made: Path) -> None:
    """Copy what the last benchmark runs wrote, as far as there is any, to where the page includes it from."""
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
    # a number and its unit stay together
    text = re.sub(r"([\d.]+) (µs|ms|s|MiB)\b", "\\1\u00a0\\2", "\n".join(parts) or NOT_MEASURED)
    (made / "measured.md").write_text(text, encoding="utf-8")


def usage(made: Path) -> None:
    """What ``mixedfast --help`` and ``mixedfast fit --help`` print."""
    made.mkdir(exist_ok=True)
    for name, arguments in {"help": ["--help"], "help_fit": ["fit", "--help"]}.items():
        call = [sys.executable, "-m", "mixedfast", *arguments]
        printed = subprocess.run(
            call, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}
        )
        (made / f"{name}.txt").write_text(printed.stdout, encoding="utf-8")


usage(HERE / "made")
measured(HERE.parent / "benchmarks" / "results", HERE / "made")
make_pictures(HERE / "made")
