"""The models of README.md."""

from reported import raw_years

MODELS = [raw_years(seed) for seed in (0, 1, 5)]
