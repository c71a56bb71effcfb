"""KVLayout: where each axis of a KV cache stands, in one line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import LayoutError

__all__ = ["KVLayout"]

AXES = {
    "L": "layer",
    "K": "key/value",
    "B": "block",
    "S": "slot in block",
    "H": "head",
    "D": "head dim",
    "T": "token",
}
_TOKEN = re.compile(r"([A-Z])([01])?\Z")


@dataclass(frozen=True)
class KVLayout:
    """The order of a cache's axes: ``KVLayout("L | K B S H D")``.

    Axes left of ``|`` are separate tensors (nested or flat, in that order); axes right of it are
    the axes of each tensor. Letters: L layer, K key/value, B block, S slot in block, H head,
    D head dim, T token (block and slot as one axis). ``D1 ... D0`` is the head dim split in two,
    D1 the outer part (vectorised keys). ``1`` is an axis of size one. An axis left out has size
    one: an MLA cache has neither K nor H. Without a ``|`` there is one tensor.

    A preset's name is accepted in place of the axes: ``KVLayout("vllm_nhd")``; see
    :data:`accel.kv.PRESETS`.

    Raises:
        LayoutError: an unknown letter or preset, an axis twice, T beside B or S, neither T nor
            B and S, no D, an axis split in one part, B, S, T, H or D left of ``|``.
    """

    spec: str
    outer: tuple[str, ...] = field(init=False, compare=False)  #: axes left of ``|``: L, K
    inner: tuple[str, ...] = field(init=False, compare=False)  #: axes of each tensor, in order

    def __post_init__(self) -> None:
        from .presets import PRESETS

        if not isinstance(self.spec, str):
            raise LayoutError("layout", "a string such as 'L | K B S H D'", repr(self.spec))
        text = PRESETS.get(self.spec.strip(), self.spec)
        left, bar, right = text.partition("|")
        if not bar:
            left, right = "", text
        outer, inner = tuple(left.split()), tuple(right.split())
        _check(text, outer, inner)
        object.__setattr__(self, "spec", " ".join([*outer, "|", *inner]))
        object.__setattr__(self, "outer", outer)
        object.__setattr__(self, "inner", inner)

    def __str__(self) -> str:
        return self.spec

    @property
    def paged(self) -> bool:
        """True when tokens are addressed as (block, slot); False for a flat T axis."""
        return "B" in self.inner

    def tensor_shape(self, sizes: dict[str, int]) -> tuple[int, ...]:
        """The shape of each tensor for these axis sizes (``1`` included; D1, D0 or D as needed)."""
        return tuple(1 if a == "1" else sizes[a] for a in self.inner)


def _check(text: str, outer: tuple[str, ...], inner: tuple[str, ...]) -> None:
    def bad(expected: str, given: object) -> LayoutError:
        return LayoutError("layout", expected, f"{given} in {text!r}")

    seen: set[str] = set()
    for axis in outer + inner:
        if axis == "1":
            if axis in outer:
                raise bad("axes L and K left of '|'", "'1'")
            continue
        match = _TOKEN.match(axis)
        if match is None or match[1] not in AXES:
            letters = ", ".join(f"{k} ({v})" for k, v in AXES.items())
            raise LayoutError(
                "layout",
                f"axis letters {letters}, D1 and D0, or 1, or a preset's name",
                f"unknown axis {axis!r} in {text!r}",
                "accel.kv.PRESETS lists the presets",
            )
        if match[2] and match[1] != "D":
            raise bad("only D to be split (D1 ... D0)", repr(axis))
        if axis in seen:
            raise bad("each axis once", f"{axis!r} twice")
        seen.add(axis)
    for axis in outer:
        if axis not in ("L", "K"):
            raise bad("axes L and K left of '|'", repr(axis))
    if ("D1" in seen) != ("D0" in seen) or ("D" in seen and "D0" in seen):
        raise bad("either D, or both D1 and D0", "a head dim split in one part")
    if "D" not in seen and "D0" not in seen:
        raise bad("a head dim (D, or D1 and D0)", "none")
    if "T" in seen and seen & {"B", "S"}:
        raise bad("T, or B and S", "T beside B or S")
    if "T" not in seen and not {"B", "S"} <= seen:
        raise bad("T, or both B and S", "no token axis" if not seen & {"B", "S"} else "only one")
