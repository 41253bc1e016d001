"""The models of README.md."""

from combined import empty_cells
from families import barely, lopsided

MODELS = [empty_cells(4), *map(barely, (117, 290)), *map(lopsided, (24, 32, 288))]
