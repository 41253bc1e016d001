"""Thousands of random models against dense algebra, as ``tests/inference/test_dense_comparison.py``.

``make torture`` runs them; ``python tests/torture/test_dense_torture.py 0 2000`` writes the table of
README.md for a range of seeds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the script

from helpers.random_models import TOLERANCES, worst

MODELS, PART = 2000, 50


@pytest.mark.parametrize("start", range(0, MODELS, PART))
def test_random_models(start: int) -> None:
    compared, found = worst(range(start, start + PART))
    wrong = {name: each for name, each in found.items() if not each[1] <= TOLERANCES[name]}
    assert not wrong, "quantity -> (models, largest difference, seed)"
    assert compared >= 0.8 * PART


def main(first: int, end: int) -> None:
    """Print the table."""
    begun = time.process_time()
    compared, found = worst(range(first, end))
    print(f"{compared} of {end - first} models, {time.process_time() - begun:.0f} CPU seconds\n")
    print("| quantity | models | largest difference | allowed |\n|---|---|---|---|")
    for name, (count, difference, _) in found.items():
        print(f"| {name} | {count} | {difference:.0e} | {TOLERANCES[name]:.0e} |")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
