"""How quantised values are stored: what ``quantize`` and ``dequantize`` agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import ArgumentError, ShapeError, SizeError

if TYPE_CHECKING:
    import torch

__all__ = ["CODE_DTYPES", "QuantSpec", "Quantized"]

CodeDType = Literal["int8", "int4", "uint8", "float8_e4m3fn", "float8_e5m2"]
Axis = Literal["token", "channel", "group"]

CODE_DTYPES: tuple[CodeDType, ...] = ("int8", "int4", "uint8", "float8_e4m3fn", "float8_e5m2")

#: The largest finite value of each floating-point code.
_LARGEST = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}


class Quantized(NamedTuple):
    """Tensors of one quantised tensor; see :meth:`QuantSpec.allocate`."""

    codes: torch.Tensor
    scales: torch.Tensor
    offsets: torch.Tensor | None


@dataclass(frozen=True)
class QuantSpec:
    """How ``x [..., tokens, channels]`` is quantised: what a code is, and what shares a scale.

    Codes:

    * ``int8``: one byte; symmetric codes lie in -127 to 127, asymmetric ones in -128 to 127.
    * ``int4``: two to a byte along channels (an even number of them), the even channel in the low
      four bits, as torch.uint8; two's complement, -7 to 7 or -8 to 7.
    * ``uint8``: one byte with ``bins`` values from 0 on, the symbols of the entropy coder;
      symmetric codes lie around ``(bins - 1) // 2``, which stands for 0, and leave the last of an
      even number of bins unused.
    * ``float8_e4m3fn``, ``float8_e5m2``: symmetric only.

    A scale (float32) is shared by the values of one token, of one channel (over all tokens), or of
    ``group_size`` neighbouring channels of one token. Axes before the last two are never shared.

    Raises:
        ArgumentError: an unknown dtype or axis; a combination that does not exist; ``bins`` or
            ``group_size`` missing, out of range, or given where they mean nothing.
    """

    dtype: CodeDType = "int8"
    axis: Axis = "token"
    group_size: int = 0  #: channels that share a scale; with ``axis="group"`` only
    symmetric: bool = True
    bins: int = 0  #: 2 to 256; with ``dtype="uint8"`` only

    def __post_init__(self) -> None:
        if self.dtype not in CODE_DTYPES:
            raise ArgumentError("dtype", f"one of: {', '.join(CODE_DTYPES)}", repr(self.dtype))
        if self.axis not in ("token", "channel", "group"):
            raise ArgumentError("axis", "'token', 'channel' or 'group'", repr(self.axis))
        if not isinstance(self.symmetric, bool):
            raise ArgumentError("symmetric", "True or False", repr(self.symmetric))
        if not (
            _is_integer(self.group_size)
            and (self.group_size >= 1 if self.axis == "group" else self.group_size == 0)
        ):
            raise ArgumentError(
                "group_size",
                "an integer of at least 1 with axis='group', and nothing with another axis",
                f"{self.group_size!r} with axis={self.axis!r}",
            )
        if self.is_float and not self.symmetric:
            raise ArgumentError("symmetric", f"True with dtype={self.dtype!r}", False)
        if not (
            _is_integer(self.bins)
            and (2 <= self.bins <= 256 if self.dtype == "uint8" else self.bins == 0)
        ):
            raise ArgumentError(
                "bins",
                "2 to 256 with dtype='uint8', and nothing with another dtype",
                f"{self.bins!r} with dtype={self.dtype!r}",
            )
        if self.dtype == "uint8" and self.symmetric and self.bins < 3:
            raise ArgumentError("bins", "at least 3 when symmetric", self.bins)

    @property
    def is_float(self) -> bool:
        """Whether codes are floating-point numbers."""
        return self.dtype in _LARGEST

    @property
    def lowest(self) -> int:
        """The lowest integer code; 0 for floating-point codes."""
        asymmetric = {"int8": -128, "int4": -8}.get(self.dtype, 0)
        return asymmetric + (1 if self.symmetric and asymmetric else 0)

    @property
    def highest(self) -> int:
        """The highest integer code; 0 for floating-point codes."""
        return 0 if self.is_float else self.zero + int(self.steps)

    @property
    def zero(self) -> int:
        """The code that stands for 0 (symmetric) or for the offset (asymmetric)."""
        if not self.symmetric:
            return self.lowest
        return (self.bins - 1) // 2 if self.dtype == "uint8" else 0

    @property
    def steps(self) -> float:
        """What the range is divided by: the largest code's distance from :attr:`zero`."""
        if self.is_float:
            return _LARGEST[self.dtype]
        if self.dtype == "uint8":
            return float((self.bins - 1) // 2 if self.symmetric else self.bins - 1)
        bits = 8 if self.dtype == "int8" else 4
        return float(2 ** (bits - 1) - 1 if self.symmetric else 2**bits - 1)

    def codes_shape(self, shape: Sequence[int], argument: str = "x") -> tuple[int, ...]:
        """The codes' shape for ``x`` of this shape; ``argument`` is its name in errors.

        Raises:
            ShapeError: fewer than two axes; an odd number of channels with int4.
        """
        *outer, channels = self._checked(shape, argument)
        return (*outer, channels // 2 if self.dtype == "int4" else channels)

    def scales_shape(self, shape: Sequence[int], argument: str = "x") -> tuple[int, ...]:
        """The scales' (and offsets') shape for ``x`` of this shape.

        Raises:
            ShapeError: as :meth:`codes_shape`.
            SizeError: ``group_size`` does not divide the channels.
        """
        *outer, tokens, channels = self._checked(shape, argument)
        if self.axis == "token":
            return (*outer, tokens)
        if self.axis == "channel":
            return (*outer, channels)
        if channels % self.group_size:
            raise SizeError("group_size", f"a divisor of {channels} channels", self.group_size)
        return (*outer, tokens, channels // self.group_size)

    @property
    def codes_dtype(self) -> torch.dtype:
        """torch's dtype of the codes: uint8 for packed int4."""
        import torch

        name = "uint8" if self.dtype == "int4" else self.dtype
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    def allocate(self, shape: Sequence[int], device: torch.device | str | None = None) -> Quantized:
        """Empty codes, scales and offsets (None if symmetric) for ``x`` of this shape.

        Raises:
            ShapeError, SizeError: ``x`` cannot be quantised like this.
        """
        import torch

        scales_shape = self.scales_shape(shape)
        codes = torch.empty(self.codes_shape(shape), dtype=self.codes_dtype, device=device)
        scales = torch.empty(scales_shape, dtype=torch.float32, device=device)
        return Quantized(codes, scales, None if self.symmetric else torch.empty_like(scales))

    def _checked(self, shape: Sequence[int], argument: str) -> tuple[int, ...]:
        shape = tuple(shape)
        if len(shape) < 2:
            raise ShapeError(argument, "[..., tokens, channels]", list(shape))
        if self.dtype == "int4" and shape[-1] % 2:
            raise ShapeError(argument, "an even number of channels, as int4 is packed", list(shape))
        return shape


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
