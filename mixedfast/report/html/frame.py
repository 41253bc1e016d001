"""The HTML document around a report."""

from __future__ import annotations

from html import escape
from importlib.resources import files

__all__ = ["document"]


def document(title: str, body: str) -> str:
    """Build an HTML document around a body.

    Its policy forbids the browser to load or run anything.
    """
    style = files("mixedfast.report.html").joinpath("style.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
