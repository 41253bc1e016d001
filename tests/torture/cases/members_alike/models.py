"""The models of README.md."""

from families import exact_groups

MODELS = [exact_groups(seed) for seed in (3, 8, 13)]
