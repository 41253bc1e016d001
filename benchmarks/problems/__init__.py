"""The problems, each a model and a function that makes its table from a seed. One file a family."""

from __future__ import annotations

from benchmarks.problems import datasets, growth, ratings, students
from benchmarks.problems.base import SEED, Problem, stored

__all__ = ["PROBLEMS", "QUICK", "SEED", "Problem", "stored"]

_all = [p for family in (datasets, students, ratings, growth) for p in family.PROBLEMS]
#: By number: P1, P3, ..., P8, P8b, P9, P10a, ...
PROBLEMS = {p.key: p for p in sorted(_all, key=lambda p: (int(p.key[1:].rstrip("abcd")), p.key))}
#: What `make bench` runs: a few minutes with every library.
QUICK = ("P1", "P3", "P4", "P6", "P7", "P8", "P10a", "P10b")
