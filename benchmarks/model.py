"""A linear mixed model described for every library: a formula, and its parts."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Model", "Random", "Unsupported"]


class Unsupported(Exception):
    """A library cannot fit this model; the message says what it lacks."""


@dataclass(frozen=True)
class Random:
    """An intercept and, correlated with it, `slopes` that vary over the levels of `group`."""

    group: str
    slopes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({' + '.join(('1', *self.slopes))} | {self.group})"


@dataclass(frozen=True)
class Model:
    """The model `response ~ 1 + fixed + random`.

    `fixed` holds columns and products of two (`"service:dept"`).
    """

    response: str
    fixed: tuple[str, ...]
    random: tuple[Random, ...]
    reml: bool = True

    @property
    def formula(self) -> str:
        return f"{self.response} ~ {' + '.join(('1', *self.fixed, *map(str, self.random)))}"

    @property
    def fixed_formula(self) -> str:
        return f"{self.response} ~ {' + '.join(('1', *self.fixed))}"

    def columns(self) -> list[str]:
        """Every column of the table the model reads, once."""
        named = [self.response, *(part for term in self.fixed for part in term.split(":"))]
        for term in self.random:
            named += [*term.slopes, term.group]
        return list(dict.fromkeys(named))

    def to_dict(self) -> dict:
        return asdict(self) | {"formula": self.formula}

    @classmethod
    def from_dict(cls, d: dict) -> Model:
        random = tuple(Random(term["group"], tuple(term["slopes"])) for term in d["random"])
        return cls(d["response"], tuple(d["fixed"]), random, d["reml"])
