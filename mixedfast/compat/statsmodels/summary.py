"""The summary page, identical to that of statsmodels."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Summary"]


class Summary:
    """A title and two tables: the model, and the estimates.

    Parameters
    ----------
    title : str
    info : dict of str to str
        Label and value, two pairs a line, column by column.
    estimates : DataFrame of str
        One row a parameter.

    Attributes
    ----------
    tables : list of DataFrame
        ``tables[0]`` what was fitted, ``tables[1]`` the estimates.
    """

    def __init__(self, title: str, info: dict[str, str], estimates: pd.DataFrame) -> None:
        import pandas as pd

        self.title = title
        items = list(info.items())
        items += [("", "")] * (len(items) % 2)
        half = len(items) // 2
        rows = [(*left, *right) for left, right in zip(items[:half], items[half:], strict=True)]
        self.tables = [pd.DataFrame(rows), estimates]

    def as_text(self) -> str:
        """Format the page as text."""
        top = [[str(cell) for cell in row] for row in self.tables[0].to_numpy()]
        table = self.tables[1]
        header = ["", *map(str, table.columns)]
        body = [
            [str(name), *map(str, row)]
            for name, row in zip(table.index, table.to_numpy(), strict=True)
        ]
        sizes = [_widths(top), _widths([header, *body])]
        natural = [sum(widths) + len(widths) - 1 for widths in sizes]
        total = max(natural)
        gaps = []
        for widths, length, columns in zip(
            sizes, natural, (len(sizes[0]), table.shape[1]), strict=True
        ):
            gap, rest = divmod(total - length, columns - 1)
            gaps.append(" " * (1 + gap))
            widths[0] += rest
        width = max(sum(w) + len(g) * (len(w) - 1) for w, g in zip(sizes, gaps, strict=True))
        first = [
            gaps[0].join(cell.ljust(w) for cell, w in zip(row, sizes[0], strict=True))
            for row in top
        ]
        head = gaps[1].join(cell.center(w) for cell, w in zip(header, sizes[1], strict=True))
        second = [
            gaps[1].join(
                [
                    row[0].ljust(sizes[1][0]),
                    *(c.rjust(w) for c, w in zip(row[1:], sizes[1][1:], strict=True)),
                ]
            )
            for row in body
        ]
        rule, line = "=" * total, "-" * width
        title = " " * max(0, int(total / 2 - len(self.title) / 2)) + self.title
        return "\n".join([title, rule, *first, line, head, line, *second, rule, ""])

    def as_html(self) -> str:
        """Format the two tables as HTML."""
        first = "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in self.tables[0].to_numpy()
        )
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"<table>{caption}{first}</table>\n{self.tables[1].to_html()}"

    def as_latex(self, label: str = "") -> str:
        """Format the page as a LaTeX table."""
        table = self.tables[1]
        rows = [["", *map(str, table.columns)]]
        rows += [
            [str(name), *map(str, row)]
            for name, row in zip(table.index, table.to_numpy(), strict=True)
        ]
        pairs = [[f"{a} {b}", f"{c} {d}"] for a, b, c, d in self.tables[0].to_numpy()]
        return "\n".join(
            [
                "\\begin{table}",
                f"\\caption{{{_tex(self.title)}}}",
                f"\\label{{{label}}}",
                "\\begin{tabular}{ll}",
                *_tex_rows(pairs),
                "\\end{tabular}",
                "",
                "\\begin{tabular}{l" + "r" * table.shape[1] + "}",
                "\\hline",
                *_tex_rows(rows),
                "\\hline",
                "\\end{tabular}",
                "\\end{table}",
            ]
        )

    def __str__(self) -> str:
        return self.as_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.as_html()


def _widths(rows: list[list[str]]) -> np.ndarray:
    return np.array([max(len(row[j]) for row in rows) for j in range(len(rows[0]))])


def _tex(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(
            character, "\\textbackslash " if character == "\\" else "\\" + character
        )
    return text


def _tex_rows(rows: list[list[str]]) -> list[str]:
    return [" & ".join(_tex(cell) for cell in row) + r" \\" for row in rows]
