"""The models of README.md."""

from families import two_optima

MODELS = [two_optima(seed) for seed in (0,)]
