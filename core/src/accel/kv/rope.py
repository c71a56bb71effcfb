"""Rotary position embeddings: which channels are rotated, and by what angle per position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    import torch

__all__ = ["LinearScaling", "Llama3Scaling", "Rope", "RopeScaling", "YarnScaling"]


@dataclass(frozen=True)
class LinearScaling:
    """Positions divided by ``factor`` (position interpolation, Chen et al. 2023)."""

    factor: float

    def apply(self, inv_freq: list[float], base: float, rotary_dim: int) -> list[float]:
        """Scaled frequencies, in radians per position."""
        return [f / self.factor for f in inv_freq]


@dataclass(frozen=True)
class Llama3Scaling:
    """Llama 3.1's: low frequencies divided by ``factor``, high ones kept, a ramp between.

    The fields are those of ``rope_scaling`` in the model's configuration.
    """

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192

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

    Channels that turn more than ``beta_fast`` times over ``original_max_position`` are kept, those
    below ``beta_slow`` turns are divided by ``factor``, with a ramp over the channels between. The
    attention factor multiplies queries and keys at every position alike and so changes nothing
    when keys move. ``truncate`` rounds the ramp's ends to whole channels, as most models do.
    """

    factor: float
    original_max_position: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    def apply(self, inv_freq: list[float], base: float, rotary_dim: int) -> list[float]:
        """Scaled frequencies, in radians per position."""

        def channel(turns: float) -> float:
            wavelength = self.original_max_position / (turns * 2 * math.pi)
            return rotary_dim * math.log(wavelength) / (2 * math.log(base))

        low, high = channel(self.beta_fast), channel(self.beta_slow)
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
        DTypeError, ShapeError: ``cos_sin_cache`` is not such a tensor.
    """

    rotary_dim: int | None = None
    base: float = 10000.0
    interleaved: bool = False
    scaling: RopeScaling | None = None
    cos_sin_cache: torch.Tensor | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        if self.rotary_dim is not None and (self.rotary_dim < 2 or self.rotary_dim % 2):
            raise ArgumentError("rotary_dim", "an even number above 0", self.rotary_dim)
        if self.offset < 0:
            raise ArgumentError("offset", "at least 0", self.offset)
        if not (math.isfinite(self.base) and self.base > 1):
            raise ArgumentError("base", "a number above 1", self.base)
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
