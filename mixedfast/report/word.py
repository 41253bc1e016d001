"""Pages as Word files, by python-docx. Tables have horizontal rules only, as in journals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from mixedfast.data.whole_file import whole_file
from mixedfast.errors import MissingLibraryError
from mixedfast.report.sections import RULE, Grid, Heading, Section

__all__ = ["write_docx"]

#: Space between paragraphs and size of notes, in points.
_NOTE_SIZE = 9
#: Width of a rule in eighths of a point.
_RULE_WIDTH = "6"


def write_docx(sections: Sequence[Section], path: str | PathLike[str]) -> None:
    """Write sections to a Word file, whole or not at all.

    Parameters
    ----------
    sections : sequence of str, Heading or Grid
    path : path

    Raises
    ------
    MissingLibraryError
        When python-docx is not installed.
    """
    document = _docx("docx").Document()
    for section in sections:
        if isinstance(section, Heading):
            document.add_heading(section.text, section.level)
        elif isinstance(section, Grid):
            _add_grid(document, section)
        else:
            document.add_paragraph(section)
    with whole_file("to_docx", path) as file:
        document.save(file)


def _docx(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingLibraryError("Word files need python-docx: pip install python-docx") from error


def _add_grid(document: Any, grid: Grid) -> None:
    if grid.heading:
        document.add_paragraph(grid.heading).runs[0].bold = True
    rows = [tuple(column.header for column in grid.columns), *grid.rows]
    table = document.add_table(rows=len(rows), cols=len(grid.columns))
    alignments = _docx("docx.enum.text").WD_ALIGN_PARAGRAPH
    sides = [getattr(alignments, column.side.upper()) for column in grid.columns]
    for texts, row in zip(rows, table.rows, strict=True):
        for text, side, cell in zip(texts, sides, row.cells, strict=True):
            paragraph = cell.paragraphs[0]
            paragraph.alignment = side
            paragraph.paragraph_format.space_after = 0
            paragraph.add_run(text if side == alignments.LEFT else text.strip())
    _rule(table.rows[0], ("top", "bottom"))
    for place in grid.rules:
        _rule(table.rows[place + 1], ("top",))
    _rule(table.rows[-1], ("bottom",))
    note = grid.note.removeprefix(RULE)
    if note:
        document.add_paragraph(note).runs[0].font.size = _docx("docx.shared").Pt(_NOTE_SIZE)


def _rule(row: Any, edges: Iterable[str]) -> None:
    """Draw rules along the edges of a row."""
    element, name = _docx("docx.oxml").OxmlElement, _docx("docx.oxml.ns").qn
    for cell in row.cells:
        properties = cell._tc.get_or_add_tcPr()
        borders = properties.find(name("w:tcBorders"))
        if borders is None:
            borders = element("w:tcBorders")
            properties.append(borders)
        for edge in edges:
            line = element(f"w:{edge}")
            line.set(name("w:val"), "single")
            line.set(name("w:sz"), _RULE_WIDTH)
            borders.append(line)
