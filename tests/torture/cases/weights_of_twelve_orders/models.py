"""The models of README.md."""

from reported import twelve_orders_of_weights

MODELS = [twelve_orders_of_weights(seed) for seed in (0, 1, 2)]
