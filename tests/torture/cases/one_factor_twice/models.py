"""The models of README.md."""

from reported import one_factor_three_times

MODELS = [one_factor_three_times(seed) for seed in (0, 1, 2)]
