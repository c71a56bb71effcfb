"""What ``rope_reposition`` must leave behind: double precision, from the published formulas.

Nothing here uses accel's own frequencies. Rotated channels are held to the bound of the contract,
every other byte of an allocation to what it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from accel.kv import LinearScaling, Llama3Scaling, Rope, YarnScaling

from .kv_inputs import INT_VIEWS
from .one_thread import one_thread

__all__ = ["RopeExpectation", "Setting", "turn"]

#: Explicit bits of the significand, and the exponent of the smallest normal number.
_FORMATS = {torch.float32: (23, -126), torch.float16: (10, -14), torch.bfloat16: (7, -126)}


@dataclass(frozen=True)
class Setting:
    """A Rope, and the same rotation by other means.

    Attributes:
        scaling: "", "linear", "llama3", "yarn" or "yarn-fractional" (without rounded ends).
        table: give a cos_sin_cache of this dtype instead of angles.
        attention: factor on the table's cosines and sines, as YaRN has it.
        positions: rows of the table.
    """

    rotary_dim: int | None = None
    interleaved: bool = False
    offset: int = 0
    base: float = 10000.0
    scaling: str = ""
    table: torch.dtype | None = None
    attention: float = 1.0
    positions: int = 4096

    def rope(self, head_dim: int, device: torch.device) -> Rope:
        """What the backend is given."""
        scaling = {
            "": None,
            "linear": LinearScaling(4.0),
            "llama3": Llama3Scaling(),
            "yarn": YarnScaling(40.0, 4096),
            "yarn-fractional": YarnScaling(32.0, 4096, truncate=False),
        }[self.scaling]
        if self.table is not None:
            table = self.cos_sin(head_dim).to(device)
            return Rope(self.rotary_dim, interleaved=self.interleaved, offset=self.offset,
                        cos_sin_cache=table)  # fmt: skip
        return Rope(self.rotary_dim, self.base, self.interleaved, scaling, offset=self.offset)

    def dim(self, head_dim: int) -> int:
        """Rotated channels."""
        return self.rotary_dim or head_dim - self.offset

    def cos_sin(self, head_dim: int) -> torch.Tensor:
        """The table ``[positions, dim]``, on the host."""
        assert self.table is not None
        angle = torch.arange(self.positions).double()[:, None] * self.frequencies(head_dim)
        return (self.attention * torch.cat([angle.cos(), angle.sin()], 1)).to(self.table)

    def frequencies(self, head_dim: int) -> torch.Tensor:
        """Radians per position of each pair."""
        dim = self.dim(head_dim)
        exponent = torch.arange(0, dim, 2).double() / -dim
        plain = torch.tensor(self.base, dtype=torch.float64).pow(exponent)
        if self.scaling == "linear":
            return plain / 4
        if self.scaling == "llama3":  # Llama 3.1: factor 8, between wavelengths 2048 and 8192
            wavelength = 2 * math.pi / plain
            smooth = (8192 / wavelength - 1) / (4 - 1)
            between = (1 - smooth) * plain / 8 + smooth * plain
            slow = torch.where(wavelength > 8192, plain / 8, between)
            return torch.where(wavelength < 2048, plain, slow)
        if self.scaling:
            factor = 40 if self.scaling == "yarn" else 32
            ends = [
                dim * math.log(4096 / (turns * 2 * math.pi)) / (2 * math.log(self.base))
                for turns in (32, 1)
            ]
            if self.scaling == "yarn":
                ends = [math.floor(ends[0]), math.ceil(ends[1])]
            low, high = max(ends[0], 0), min(ends[1], dim - 1)
            ramp = ((torch.arange(dim // 2).double() - low) / (high - low)).clamp(0, 1)
            return plain / factor * ramp + plain * (1 - ramp)
        return plain

    def at(self, positions: torch.Tensor, head_dim: int) -> torch.Tensor:
        """What pairs are multiplied by at these positions, as complex numbers ``[n, pairs]``."""
        if self.table is not None:
            cosine, sine = self.cos_sin(head_dim)[positions].double().chunk(2, -1)
            return torch.complex(cosine, sine)
        angle = positions.double()[:, None] * self.frequencies(head_dim)
        return torch.polar(torch.ones_like(angle), angle)

    def between(self, old: torch.Tensor, new: torch.Tensor, head_dim: int) -> torch.Tensor:
        """What pairs are multiplied by when tokens move from ``old`` to ``new``."""
        if self.table is not None:
            return self.at(new, head_dim) / self.at(old, head_dim)
        return self.at(new - old, head_dim)

    def channels(self, head_dim: int) -> torch.Tensor:
        """The channels of each pair ``[pairs, 2]``."""
        pairs = self.dim(head_dim) // 2
        i = torch.arange(pairs)
        both = (2 * i, 2 * i + 1) if self.interleaved else (i, i + pairs)
        return self.offset + torch.stack(both, -1)


def turn(keys: torch.Tensor, by: torch.Tensor, setting: Setting) -> torch.Tensor:
    """Keys ``[n, heads, head_dim]`` with their pairs multiplied by ``by`` ``[n, pairs]``."""
    channels = setting.channels(keys.shape[-1])
    pairs = torch.view_as_complex(keys.double()[..., channels].contiguous()) * by[:, None]
    turned = keys.double().clone()
    turned[..., channels] = torch.view_as_real(pairs)
    return turned


def _last_place(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    bits, least = _FORMATS[dtype]
    exponent = torch.frexp(x.abs()).exponent.double() - 1
    exponent = torch.where(x == 0, torch.full_like(exponent, least), exponent)
    return torch.exp2(exponent.clamp(min=least) - bits)


def _lengths(keys: torch.Tensor, setting: Setting) -> torch.Tensor:
    """Of each channel's pair; 0 for channels without one."""
    channels = setting.channels(keys.shape[-1])
    both = torch.linalg.vector_norm(keys[..., channels], dim=-1, keepdim=True)
    out = torch.zeros_like(keys)
    out[..., channels] = both.expand(*both.shape[:-1], 2)
    return out


@dataclass
class _Loose:
    """Elements that may be any value near ``want``."""

    dtype: torch.dtype
    places: torch.Tensor
    want: torch.Tensor
    allowed: torch.Tensor
    what: str


@dataclass
class RopeExpectation:
    """Images of whole allocations, flat uint8 tensors, before a call.

    Whatever :meth:`turned` was not told about must not change.
    """

    raws: list[torch.Tensor]
    _images: list[torch.Tensor] = field(init=False)
    _loose: list[list[_Loose]] = field(init=False)

    def __post_init__(self) -> None:
        self._images = [raw.cpu().clone() for raw in self.raws]
        self._loose = [[] for _ in self.raws]

    @one_thread()
    def turned(
        self,
        raw: torch.Tensor,
        dtype: torch.dtype,
        index: torch.Tensor,
        old: torch.Tensor,
        new: torch.Tensor,
        setting: Setting,
        scratch: torch.Tensor | None = None,
    ) -> None:
        """Tokens move: element ``index[token, head, channel]`` of ``raw`` is a key's channel.

        Args:
            scratch: the keys before any rotation ``[n, heads, head_dim]``: the result must be near
                these rotated to the new positions, too.
        """
        moves = old != new
        index, old, new = index[moves], old[moves], new[moves]
        if not index.numel():
            return
        which = next(i for i, r in enumerate(self.raws) if r is raw)
        head_dim = index.shape[-1]
        keys = self._images[which].view(dtype)[index].double()
        by = setting.between(old, new, head_dim)
        want = turn(keys, by, setting)
        length = _lengths(want, setting)
        allowed = torch.maximum(_last_place(want, dtype), 4 * 2.0**-24 * length)
        channels = setting.channels(head_dim).flatten()

        def add(want: torch.Tensor, allowed: torch.Tensor, what: str) -> None:
            places, near, within = (t[..., channels].flatten() for t in (index, want, allowed))
            self._loose[which].append(_Loose(dtype, places, near, within, what))

        add(want, allowed, "the old key turned by the difference")
        if scratch is not None:
            # The old key was rounded: half a last place of either channel, whichever way it turns.
            rounded = 0.75 * _last_place(length * 1.01, dtype)
            anew = turn(scratch[moves], setting.at(new, head_dim), setting)
            add(anew, allowed + rounded, "the key rotated from scratch")

    @one_thread()
    def check(self) -> None:
        """Compare; synchronise first."""
        __tracebackhide__ = True
        for raw, image, loose in zip(self.raws, self._images, self._loose, strict=True):
            have = raw.cpu().clone()
            exact = image.clone()
            for part in loose:
                got = have.view(part.dtype)[part.places].double()
                off = (got - part.want).abs()
                wrong = ~((off <= part.allowed) | (got.isnan() & part.want.isnan()))
                # An infinite result is as near as it gets when the value is beyond the format.
                wrong &= ~((got == part.want) | _overflows(part.want, got, part.dtype))
                if wrong.any():
                    at = int(wrong.nonzero()[0])
                    raise AssertionError(
                        f"{int(wrong.sum())} of {len(off)} channels are too far from {part.what}: "
                        f"the first is {float(got[at])!r}, must be {float(part.want[at])!r} within "
                        f"{float(part.allowed[at]):.3g}"
                    )
                ints = INT_VIEWS[part.dtype.itemsize]
                exact.view(ints)[part.places] = have.view(ints)[part.places]
            if not torch.equal(have, exact):
                changed = (have != exact).nonzero().flatten()
                raise AssertionError(
                    f"{len(changed)} bytes beside the rotated channels changed, the first at byte "
                    f"{int(changed[0])} of {len(have)}"
                )


def _overflows(want: torch.Tensor, got: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    largest = torch.finfo(dtype).max
    return got.isinf() & (want.abs() > largest) & (got.sign() == want.sign())
