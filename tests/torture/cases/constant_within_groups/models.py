"""The models of README.md."""

from reported import subject_covariates

MODELS = [subject_covariates(seed) for seed in (1, 2, 3)]
