"""Rotary position embeddings: which channels are rotated, and by what angle per position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    import torch

__all__ = [
    "MAX_POSITION",
    "LinearScaling",
    "Llama3Scaling",
    "Rope",
    "RopeScaling",
    "YarnScaling",
]

#: The largest position; results are bounded up to 2^20, and good for little at this one.
MAX_POSITION = 2**31 - 1


def _check_number(name: str, value: object, *, least: float = 0.0, expected: str = "") -> None:
    """ArgumentError unless a finite number above ``least``."""
    good = isinstance(value, (int, float)) and math.isfinite(value) and value > least
    if not good:
        raise ArgumentError(name, expected or f"a finite number above {least:g}", repr(value))


@dataclass(frozen=True)
class LinearScaling:
    """Positions divided by ``factor`` (position interpolation, Chen et al. 2023).

    Raises:
        ArgumentError: ``factor`` is not a finite number above 0.
    """

    factor: float

    def __post_init__(self) -> None:
        _check_number("factor", self.factor)

    def apply(self, inv_freq: list[float], base: float, rotary_dim: int) -> list[float]:
        """Scaled frequencies, in radians per position."""
        return [f / self.factor for f in inv_freq]


@dataclass(frozen=True)
class Llama3Scaling:
    """Llama 3.1's: low frequencies divided by ``factor``, high ones kept, a ramp between.

    A pair that turns more than ``high_freq_factor`` times over ``original_max_position`` is kept,
    one below ``low_freq_factor`` turns is divided. The fields are those of ``rope_scaling`` in the
    model's configuration.

    Raises:
        ArgumentError: a field is not a finite number above 0; ``low_freq_factor`` above
            ``high_freq_factor``.
    """

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192

    def __post_init__(self) -> None:
        for name in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position"):
            _check_number(name, getattr(self, name))
        if self.low_freq_factor > self.high_freq_factor:
            raise ArgumentError(
                "low_freq_factor",
                f"at most high_freq_factor, {self.high_freq_factor}",
                self.low_freq_factor,
            )

    def apply(self, inv_freq: list[float], base: float, rotary_dim: int) -> list[float]:
        """Scaled frequencies, in radians per position."""
        scaled = []
        for frequency in inv_freq:
            turns = self.original_max_position * frequency / (2 * math.pi)
            if self.high_freq_factor == self.low_freq_factor:
                kept = 1.0 if turns > self.high_freq_factor else 0.0
            else:
                ramp = (turns - self.low_freq_factor) / (
                    self.high_freq_factor - self.low_freq_factor
                )
                kept = min(1.0, max(0.0, ramp))
            scaled.append(kept * frequency + (1.0 - kept) * frequency / self.factor)
        return scaled


@dataclass(frozen=True)
class YarnScaling:
    """YaRN's "NTK by parts" (Peng et al. 2023, section 3.2).

    Pairs that turn more than ``beta_fast`` times over ``original_max_position`` are kept, those
    below ``beta_slow`` turns are divided by ``factor``, with a ramp over the pairs between. The
    attention factor multiplies queries and keys at every position alike and so changes nothing
    when keys move. ``truncate`` rounds the ramp's ends to whole pairs, as most models do.

    Raises:
        ArgumentError: a field is not a finite number above 0; ``beta_slow`` not below
            ``beta_fast``.
    """

    factor: float
    original_max_position: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    def __post_init__(self) -> None:
        for name in ("factor", "original_max_position", "beta_fast", "beta_slow"):
            _check_number(name, getattr(self, name))
        if self.beta_slow >= self.beta_fast:
            raise ArgumentError("beta_slow", f"below beta_fast, {self.beta_fast}", self.beta_slow)

    def apply(self, inv_freq: list[float], base: float, rotary_dim: int) -> list[float]:
        """Scaled frequencies, in radians per position."""

        def pair(turns: float) -> float:
            """The (fractional) pair that turns so often."""
            wavelength = self.original_max_position / (turns * 2 * math.pi)
            return rotary_dim * math.log(wavelength) / (2 * math.log(base))

        low, high = pair(self.beta_fast), pair(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotary_dim - 1)
        width = high - low or 0.001
        scaled = []
        for i, frequency in enumerate(inv_freq):
            ramp = min(1.0, max(0.0, (i - low) / width))
            scaled.append(frequency * (1.0 - ramp) + frequency / self.factor * ramp)
        return scaled


RopeScaling = LinearScaling | Llama3Scaling | YarnScaling


@dataclass(frozen=True, eq=False)
class Rope:
    """How keys are rotated (RoFormer, Su et al. 2021): pair i by ``position * inv_freq[i]``.

    ``rotary_dim`` channels from ``offset`` on are rotated (all from there on if None), in pairs
    ``(i, i + rotary_dim / 2)``, as GPT-NeoX and Llama have them, or ``(2 i, 2 i + 1)`` if
    ``interleaved``, as GPT-J and DeepSeek. ``offset`` is for keys that hold something else first,
    such as the latent of MLA.

    The angle, in radians, comes from ``base`` (``inv_freq[i] = base ** (-2 i / rotary_dim)``) and
    ``scaling``, or from ``cos_sin_cache`` ``[positions, rotary_dim]`` (float16, bfloat16 or
    float32: the cosines of all pairs, then the sines), which then defines what the rotations were
    and will be. Make one Rope and keep it: what a backend prepares for it is kept with it.

    Raises:
        ArgumentError: ``rotary_dim`` odd or not positive, ``offset`` negative, ``base`` not above
            1, ``scaling`` together with ``cos_sin_cache``.
        DTypeError, ShapeError: ``cos_sin_cache`` is not such a tensor, ``scaling`` no scaling.
    """

    rotary_dim: int | None = None
    base: float = 10000.0
    interleaved: bool = False
    scaling: RopeScaling | None = None
    cos_sin_cache: torch.Tensor | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        dim = self.rotary_dim
        if dim is not None and (not isinstance(dim, int) or dim < 2 or dim % 2):
            raise ArgumentError("rotary_dim", "an even number above 0", dim)
        if not isinstance(self.offset, int) or self.offset < 0:
            raise ArgumentError("offset", "a whole number, at least 0", self.offset)
        _check_number("base", self.base, least=1.0)
        if self.scaling is not None and not isinstance(self.scaling, RopeScaling):
            raise DTypeError("scaling", "a RopeScaling", type(self.scaling).__name__)
        if self.cos_sin_cache is not None:
            self._check_cache(self.cos_sin_cache)

    def _check_cache(self, cache: torch.Tensor) -> None:
        import torch

        if not isinstance(cache, torch.Tensor) or cache.dtype not in (
            torch.float16, torch.bfloat16, torch.float32
        ):  # fmt: skip
            given = cache.dtype if isinstance(cache, torch.Tensor) else type(cache).__name__
            raise DTypeError("cos_sin_cache", "float16, bfloat16 or float32", given)
        if cache.dim() != 2 or cache.shape[1] < 2 or cache.shape[1] % 2:
            raise ShapeError("cos_sin_cache", "[positions, rotary_dim]", list(cache.shape))
        if self.rotary_dim is not None and self.rotary_dim != cache.shape[1]:
            raise ShapeError(
                "cos_sin_cache", f"[positions, {self.rotary_dim}] as rotary_dim says",
                list(cache.shape),
            )  # fmt: skip
        if self.scaling is not None:
            raise ArgumentError(
                "scaling", "None with a cos_sin_cache, which has the angles", self.scaling
            )

    def dim_for(self, head_dim: int) -> int:
        """Channels that are rotated in heads of ``head_dim``.

        Raises:
            ShapeError: they do not fit, or are not an even number.
        """
        dim = self.rotary_dim
        if dim is None:
            dim = head_dim - self.offset
            if self.cos_sin_cache is not None:
                dim = int(self.cos_sin_cache.shape[1])
        if dim < 2 or dim % 2 or self.offset + dim > head_dim:
            raise ShapeError(
                "rope",
                f"an even number of channels within heads of {head_dim}",
                f"{dim} from channel {self.offset} on",
            )
        return dim

    def inv_freq(self, rotary_dim: int) -> list[float]:
        """Radians per position of each pair, as double precision."""
        plain = [self.base ** (-2 * i / rotary_dim) for i in range(rotary_dim // 2)]
        return plain if self.scaling is None else self.scaling.apply(plain, self.base, rotary_dim)
