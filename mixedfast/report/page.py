"""A page in four formats: plain text, HTML, Markdown and LaTeX, all from the same sections."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from os import PathLike

from mixedfast.report.sections import RULE, Cells, Grid, Heading, Section

__all__ = ["Page", "page_html", "page_latex", "page_markdown", "page_text"]

#: Longer lines of prose are broken; tables are not.
_WIDTH = 96

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
}


class Page:
    """A page that prints as text and shows as HTML in a notebook.

    Parameters
    ----------
    sections : sequence of str, Heading or Grid
        Paragraphs, headings and tables, from top to bottom.

    Examples
    --------
    >>> page = Page(["A page", Grid((Cells("x", ("1", "10")),), heading="Numbers:")])
    >>> print(page)
    A page
    <BLANKLINE>
    Numbers:
     x
     1
    10
    >>> print(page.to_markdown())
    A page
    <BLANKLINE>
    **Numbers:**
    <BLANKLINE>
    |  x |
    |---:|
    |  1 |
    | 10 |
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        self.sections = tuple(sections)

    def __str__(self) -> str:
        return page_text(self.sections)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return page_html(self.sections)

    def to_html(self) -> str:
        """Format the page as a fragment of HTML, as a notebook shows it.

        Returns
        -------
        str

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> "<table>" in m.summary().to_html()
        True
        """
        return page_html(self.sections)

    def to_docx(self, path: str | PathLike[str]) -> None:
        """Write the page to a Word file, with the tables as Word tables.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        MissingLibraryError
            When python-docx is not installed.
        DataError
            When the path is a folder, a device or a pipe.

        Examples
        --------
        >>> import mixedfast as mf
        >>> from tempfile import TemporaryDirectory
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> with TemporaryDirectory() as folder:
        ...     m.summary().to_docx(f"{folder}/summary.docx")
        """
        from mixedfast.report.word import write_docx

        write_docx(self.sections, path)

    def to_markdown(self) -> str:
        """Format the page in Markdown, with pipe tables.

        Returns
        -------
        str

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> print(mf.page(m.coef_table()[["estimate"]]).to_markdown())
        |           | estimate |
        |:----------|---------:|
        | Intercept |  251.405 |
        | Days      |   10.467 |
        """
        return page_markdown(self.sections)

    def to_latex(self) -> str:
        r"""Format the page in LaTeX, with ``tabular`` and the rules of the booktabs package.

        Returns
        -------
        str

        Examples
        --------
        >>> print(Page([Grid((Cells("x", ("1", "-10")),), heading="Numbers:")]).to_latex())
        \noindent Numbers:\\
        \begin{tabular}{r}
        \toprule
        x \\
        \midrule
        1 \\
        $-$10 \\
        \bottomrule
        \end{tabular}
        """
        return page_latex(self.sections)


# --- text ----------------------------------------------------------------------------------------


def page_text(sections: Sequence[Section]) -> str:
    """Format sections as plain text, with a blank line between two of them."""
    return "\n\n".join(map(_text, sections))


def _text(section: Section) -> str:
    if isinstance(section, Heading):
        return f"{section.text}\n{('=' if section.level == 1 else '-') * len(section.text)}"
    if isinstance(section, Grid):
        columns = [_padded(column) for column in section.columns]
        lines = [" ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
        return "\n".join(line for line in [section.heading, *lines, section.note] if line)
    return "\n".join(
        textwrap.fill(line, _WIDTH, break_on_hyphens=False) for line in section.splitlines()
    )


def _padded(column: Cells) -> list[str]:
    width = max(map(len, (column.header, *column.cells)))
    side = "<" if column.left else ">"
    return [f"{cell:{side}{width}}" for cell in (column.header, *column.cells)]


# --- HTML ----------------------------------------------------------------------------------------


def page_html(sections: Sequence[Section]) -> str:
    """Format sections as HTML: headings, paragraphs, captioned tables; no style but alignment."""
    return "\n".join(map(_html, sections))


def _html(section: Section) -> str:
    if isinstance(section, Heading):
        return f"<h{section.level}>{html.escape(section.text)}</h{section.level}>"
    if isinstance(section, Grid):
        return _html_grid(section)
    return f"<p>{'<br>'.join(html.escape(line) for line in section.splitlines())}</p>"


def _html_grid(grid: Grid) -> str:
    caption = f"<caption>{html.escape(grid.heading)}</caption>" if grid.heading else ""
    sides = [column.side for column in grid.columns]
    head = _html_row("th", [column.header for column in grid.columns], sides)
    body = "\n".join(
        _html_row("td", row, sides, ruled=place in grid.rules)
        for place, row in enumerate(grid.rows)
    )
    note = grid.note.removeprefix(RULE)
    below = f"\n{_html(note)}" if note else ""
    table = f"<table>{caption}\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table>"
    return (
        f'<div style="overflow-x: auto">{table}</div>{below}'  # a wide table scrolls, not the page
    )


def _html_row(tag: str, cells: Sequence[str], sides: Sequence[str], ruled: bool = False) -> str:
    rule = "; border-top: 1px solid" if ruled else ""
    shown = (
        f'<{tag} style="text-align: {side}{_html_indent(cell)}{rule}">'
        f"{html.escape(cell.strip())}</{tag}>"
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(shown)}</tr>"


def _html_indent(cell: str) -> str:
    """Turn the blanks before a label into a padding; blanks alone are none."""
    blanks = len(cell) - len(cell.lstrip())
    return f"; padding-left: {blanks / 2:g}em" if cell.strip() and blanks else ""


# --- Markdown ------------------------------------------------------------------------------------


def page_markdown(sections: Sequence[Section]) -> str:
    """Format sections in Markdown with pipe tables, as GitHub, pandoc and Quarto read them."""
    return "\n\n".join(map(_markdown, sections))


def _markdown(section: Section) -> str:
    if isinstance(section, Heading):
        return f"{'#' * section.level} {_plain(section.text)}"
    if isinstance(section, Grid):
        columns = [
            Cells(_plain(c.header), tuple(map(_plain, c.cells)), c.left) for c in section.columns
        ]
        width = [max(2, *map(len, (c.header, *c.cells))) for c in columns]
        rule = "|".join(_markdown_rule(c, w) for c, w in zip(columns, width, strict=True))
        padded = [
            [f"{cell:{'<' if c.left else '>'}{w}}" for cell in (c.header, *c.cells)]
            for c, w in zip(columns, width, strict=True)
        ]
        lines = [f"| {' | '.join(cells)} |" for cells in zip(*padded, strict=True)]
        table = "\n".join([lines[0], f"|{rule}|", *lines[1:]])
        above = [f"**{_plain(section.heading)}**"] if section.heading else []
        note = section.note.removeprefix(RULE)
        return "\n\n".join([*above, table, *([_markdown(note)] if note else [])])
    return "  \n".join(_plain(line) for line in section.splitlines())


def _markdown_rule(column: Cells, width: int) -> str:
    if column.center:
        return f":{'-' * width}:"
    return f":{'-' * (width + 1)}" if column.left else f"{'-' * (width + 1)}:"


def _plain(text: str) -> str:
    """Escape text so that Markdown finds no markup in it."""
    return re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", text)


# --- LaTeX ---------------------------------------------------------------------------------------


def page_latex(sections: Sequence[Section]) -> str:
    """Format sections in LaTeX: ``\\section*``, paragraphs, and tabulars with rules of booktabs."""
    return "\n\n".join(map(_latex, sections))


def _latex(section: Section) -> str:
    if isinstance(section, Heading):
        command = "section" if section.level == 1 else "subsection"
        return f"\\{command}*{{{_escaped(section.text)}}}"
    if isinstance(section, Grid):
        sides = "".join(column.side[0] for column in section.columns)
        rows = [
            ("\\midrule\n" if place in section.rules else "")
            + " & ".join(map(_latex_cell, row))
            + r" \\"
            for place, row in enumerate(section.rows)
        ]
        head = " & ".join(_escaped(column.header) for column in section.columns) + r" \\"
        table = [
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
        heading = [rf"\noindent {_escaped(section.heading)}\\"] if section.heading else []
        note = section.note.removeprefix(RULE)
        below = [rf"\\ {{\footnotesize {_escaped(note)}}}"] if note else []
        return "\n".join([*heading, *table]) + "".join(below)
    return "\\\\\n".join(map(_escaped, section.splitlines()))


def _latex_cell(text: str) -> str:
    """Escape a cell; blanks before a label become a space of the same width."""
    blanks = len(text) - len(text.lstrip()) if text.strip() else 0
    return (
        rf"\hspace{{{blanks / 2:g}em}}{_escaped(text.strip())}"
        if blanks
        else _escaped(text.strip())
    )


def _escaped(text: str) -> str:
    if re.match(r"-[\d.]", text):  # a number: a minus, not a hyphen
        return f"$-${_escaped(text[1:])}"
    if text.startswith("["):  # after a line break LaTeX would read it as a length
        return f"{{[}}{_escaped(text[1:])}"
    return "".join(_LATEX.get(letter, letter) for letter in text)
