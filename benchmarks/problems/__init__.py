"""The problems, each a model and a function that makes its table from a seed. One file a family."""

from __future__ import annotations

from benchmarks.problems import datasets, growth, ratings, students
from benchmarks.problems.base import SEED, Problem, stored

__all__ = ["PROBLEMS", "QUICK", "SEED", "Problem", "stored"]

PROBLEMS = {p.key: p for family in (datasets, students, growth, ratings) for p in family.PROBLEMS}
#: What `make bench` runs: a few minutes with every library.
QUICK = ("P1", "P3", "P4", "P6", "P7", "P8", "P10a", "P10b")
