"""The parts of a page: paragraphs, headings and tables, without any format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["RULE", "Cells", "Grid", "Heading", "Section"]

#: The line between a table and the legend of its stars, in text.
RULE = "---\n"


@dataclass(frozen=True)
class Cells:
    """One column of a printed table: a header over cells, aligned right unless told otherwise.

    Centred cells are aligned right in plain text, where trailing blanks place their digits.
    """

    header: str
    cells: tuple[str, ...]
    left: bool = False
    center: bool = False

    @property
    def side(self) -> str:
        """The alignment outside of plain text: left, right or center."""
        return "left" if self.left else "center" if self.center else "right"


@dataclass(frozen=True)
class Grid:
    """A printed table: columns of equal length, a heading above, a note below.

    `rules` are the rows with a line above them; plain text and Markdown have no such lines.
    """

    columns: tuple[Cells, ...]
    heading: str = ""
    note: str = ""
    rules: tuple[int, ...] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells row by row, without the headers."""
        return list(zip(*(column.cells for column in self.columns), strict=True))


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title of the page."""

    text: str
    level: int = 2


Section: TypeAlias = str | Heading | Grid
