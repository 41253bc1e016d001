"""The models of README.md."""

from families import exactly_singular

MODELS = [exactly_singular(seed) for seed in (0, 4, 8)]
