"""The models of README.md."""

from combined import seconds_of_a_day, slopes_alike_to_five_digits, years_and_their_powers

MODELS = [
    *map(slopes_alike_to_five_digits, (1, 5, 6)),
    years_and_their_powers(2),
    seconds_of_a_day(5),
]
