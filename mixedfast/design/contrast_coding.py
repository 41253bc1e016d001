"""Contrasts of categorical columns, in the form of formulaic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from mixedfast._stored import stored
from mixedfast.errors import DataError

__all__ = ["Contrast", "Contrasts", "contrast_of"]


@stored(
    "Contrast",
    arrays={"value": "numbers J c"},
    fields=({"label": "str", "value": "np.ndarray | None"},),
)
@dataclass(frozen=True)
class Contrast:
    """A contrast: its value for formulaic, and a label that distinguishes it from others."""

    label: str
    value: Any = field(compare=False)

    def __store__(self) -> dict[str, Any]:
        """Return the fields that are saved: of a matrix its numbers, of others only the label."""
        return {
            "label": self.label,
            "value": self.value if isinstance(self.value, np.ndarray) else None,
        }

    @classmethod
    def __restore__(cls, fields: dict[str, Any]) -> Contrast:
        from formulaic.transforms.contrasts import ContrastsRegistry

        label, value = fields["label"], fields["value"]
        named = label in vars(ContrastsRegistry) and not label.startswith("_")
        return cls(label, getattr(ContrastsRegistry, label) if named else value)


Contrasts: TypeAlias = tuple[tuple[str, Contrast], ...]


def contrast_of(name: str, value: Any, levels: np.ndarray) -> Contrast:
    """Read the contrast a user gives: a name such as ``"sum"`` or ``"contr.sum"``, or a matrix.

    Raises
    ------
    DataError
        When the name is unknown, or the matrix does not have one row per level.
    """
    from formulaic.transforms.contrasts import Contrasts as FormulaicContrasts
    from formulaic.transforms.contrasts import ContrastsRegistry

    if isinstance(value, str):
        known = {
            key.lower(): key
            for key in vars(ContrastsRegistry)
            if not key.startswith("_") and key != "custom"
        }
        key = known.get(value.removeprefix("contr.").lower())
        if key is None:
            raise DataError(
                f"unknown contrast {value!r} for {name!r}: one of {', '.join(known.values())}, "
                "or a matrix"
            )
        return Contrast(key, getattr(ContrastsRegistry, key))
    if isinstance(value, FormulaicContrasts) or (
        isinstance(value, type) and issubclass(value, FormulaicContrasts)
    ):
        return Contrast(repr(value), value)
    try:
        matrix = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the contrast of {name!r} is neither a name nor a matrix of numbers"
        ) from error
    if matrix.ndim != 2 or matrix.shape[0] != len(levels) or not np.isfinite(matrix).all():
        raise DataError(
            f"the contrast matrix of {name!r} has shape {matrix.shape}; it needs one finite row "
            f"for each of the {len(levels)} levels {levels.tolist()[:8]}"
        )
    return Contrast(repr(matrix.tolist()), matrix)
