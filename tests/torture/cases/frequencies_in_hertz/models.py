"""The models of README.md."""

from reported import hertz

MODELS = [hertz(seed) for seed in (0, 1, 3)]
