"""Modules whose examples need a library that may be absent."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("sklearn") else ["mixedfast/sklearn.py"]
