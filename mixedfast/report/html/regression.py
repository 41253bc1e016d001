"""The report of an ordinary regression: its page, intervals and two pictures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mixedfast._validation import check_kind
from mixedfast.errors import MissingLibraryError
from mixedfast.report.html.frame import document
from mixedfast.report.html.pictures import residual_pictures_html
from mixedfast.report.page import page_html
from mixedfast.report.text import ols_page, page

if TYPE_CHECKING:
    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.protocols import LeastSquaresModel

__all__ = ["regression_html"]


def regression_html(m: LeastSquaresModel, title: str | None, ddf: DDF, pictures: bool) -> str:
    """Build the report as one HTML document; see ``OLSResult.to_html``."""
    heading = m.formula if title is None else title
    check_kind("title", heading, str, "text")
    parts = {"The regression": page_html(ols_page(m, ddf).sections)}
    parts["95 % confidence intervals"] = page_html(page(m.confint(ddf=ddf)).sections)
    if pictures and m._design is not None:
        parts["Pictures"] = _drawn(m)
    body = "\n".join(
        f"<section>\n<h2>{escape(name)}</h2>\n{part}\n</section>" for name, part in parts.items()
    )
    return document(heading, f"<h1>{escape(heading)}</h1>\n<main>\n{body}\n</main>")


def _drawn(m: LeastSquaresModel) -> str:
    try:
        return residual_pictures_html(m)
    except MissingLibraryError as error:
        return f"<p>Not drawn: {escape(str(error))}.</p>"
