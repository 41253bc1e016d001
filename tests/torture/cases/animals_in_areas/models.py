"""The models of README.md."""

from reported import repeated_readings

MODELS = [repeated_readings(seed) for seed in (1, 2, 3)]
