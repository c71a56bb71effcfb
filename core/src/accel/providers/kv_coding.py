"""Entropy coding of quantised KV."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from .streams import Stream

__all__ = ["KVCoding"]


class KVCoding(Provider):
    """Entropy coding of symbols, one model per layer and channel. Capability: ``KV_ENTROPY``.

    The idea is CacheGen's (Liu et al., SIGCOMM 2024): the symbols of a quantised KV cache are
    spread differently in every channel, so each channel is coded with its own frequencies. The
    coder is rANS (Duda, 2013) in 32 interleaved lanes a stream; docs/kv-codec.md specifies every
    byte, and all backends write and read the same.

    * Symbols are uint8 or int8 ``[layers, tokens, channels]``, any strides; an int8 symbol counts
      as its byte (-1 is 255). ``bins`` (1 to 256) is how many values there are: symbols are below
      it.
    * A model is int16 ``[layers, channels, bins + 1]``: cumulative frequencies from 0 to 16384. It
      is not part of the encoded data; any chunk of the same layers and channels can be encoded
      with it, and the data names it by a check.
    * Extents are below 2**31; the streams of one call fit into 16 GiB.
    * Work is queued on ``stream`` (the current stream if None), which keeps the tensors alive.
    """

    area: ClassVar[str] = "kv"

    def entropy_model(
        self,
        symbols: torch.Tensor,
        bins: int,
        *,
        exact: bool = False,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        """The model of these symbols: int16 ``[layers, channels, bins + 1]``, on their device.

        Args:
            exact: bins that do not occur get no frequency: a little smaller, but other chunks may
                hold symbols that this model cannot encode. Otherwise every bin can be encoded.

        Without tokens all bins get the same frequency.

        Raises:
            ArgumentError: ``bins`` out of range; a symbol that is not below ``bins``. (Where the
                work runs later it is the cause of an AsyncError at the next synchronisation.)
            DTypeError, ShapeError, DeviceError, FreedError: not symbols that this backend can read.
        """
        raise self.unsupported(Capability.KV_ENTROPY)

    def encode(
        self,
        symbols: torch.Tensor,
        model: torch.Tensor,
        *,
        out: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        """The encoded symbols: uint8 ``[bytes]``, on their device.

        How many bytes depends on the symbols, so the call waits for ``stream`` and returns when it
        is done.

        Args:
            out: uint8 ``[at least encode_bound(symbols.shape)]``, contiguous; the result is its
                first part. (:func:`accel.kv.encode_bound`)

        Raises:
            ArgumentError: a symbol that is not below the model's bins, or that has no frequency in
                its channel's model: the error names it, and nothing was written.
            CodecError: ``model`` does not hold cumulative frequencies.
            SizeError: ``out`` is too small, or the streams might not fit into 16 GiB.
            OverlapError: ``out`` shares memory with ``symbols`` or ``model``.
            DTypeError, ShapeError, DeviceError, FreedError: not symbols, or not their model.
        """
        raise self.unsupported(Capability.KV_ENTROPY)

    def decode(
        self,
        data: torch.Tensor,
        model: torch.Tensor,
        out: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        """Decode ``data`` into ``out``: exactly the symbols that were encoded.

        Args:
            data: uint8 ``[bytes]``, what :meth:`encode` returned, all of it and nothing more.
            model: the one it was encoded with.
            out: uint8 or int8 ``[layers, tokens, channels]`` with channels side by side; layers and
                tokens may be strided.

        Raises:
            CodecError: ``data`` is damaged, truncated or foreign, or ``model`` is not its model.
                Header, directory, model and the checks over all bytes are looked at before
                anything is written; what only decoding finds, behind checks made right, may leave
                part of the symbols written. (Where the work runs later it is the cause of an
                AsyncError at the next synchronisation.)
            ShapeError: ``out`` has another shape than the data.
            OverlapError: ``out`` shares memory with ``data`` or ``model``, or with itself.
            DTypeError, DeviceError, FreedError: not tensors that this backend can use.
        """
        raise self.unsupported(Capability.KV_ENTROPY)
