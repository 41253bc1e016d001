"""Settings shared by all tests."""

from __future__ import annotations

from hypothesis import settings

# The same examples on every run and every machine, and no database: a failure here is a failure
# everywhere.
settings.register_profile(
    "mixedfast", derandomize=True, deadline=None, max_examples=40, database=None
)
settings.load_profile("mixedfast")

#: Read by a type checker only; a script of `make leaks` whose name another folder has too.
collect_ignore = ["typed", "leaks"]
