"""Keys at other positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..kv.rope import Rope
    from .streams import Stream

__all__ = ["KVRope"]


class KVRope(Provider):
    """Re-rotating cached keys. Capability: ``KV_ROPE``."""

    area: ClassVar[str] = "kv"

    def rope_reposition(
        self,
        keys: torch.Tensor | KVCache,
        old_positions: torch.Tensor,
        new_positions: torch.Tensor,
        rope: Rope,
        *,
        slots: torch.Tensor | None = None,
        layer: int | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Turn keys that were rotated for ``old_positions`` into those of ``new_positions``.

        In place. Each pair is rotated once, by the difference of its two angles: exact rotations
        compose, so this is the key that the model would have cached at the new position. Channels
        outside the rotation are not touched; a token whose position does not change keeps its bits.

        Angles are formed in double precision, ``(new - old) * inv_freq``, and their cosine and sine
        rounded to float32. With a ``cos_sin_cache`` (c, s are its values at a position, in double
        precision): cosine ``(c_new c_old + s_new s_old) / (c_old^2 + s_old^2)``, sine
        ``(s_new c_old - c_new s_old) / (c_old^2 + s_old^2)``. Values are float32 inside and rounded
        to the keys' dtype once, to nearest even; what is too large becomes infinite, and infinities
        and NaN spread to their pair. Each result is within one unit in the last place of its dtype,
        or 4 x 2^-24 of the pair's length if that is more, of the same in double precision, for
        positions up to 2^20.

        Args:
            keys: float16, bfloat16 or float32 ``[..., heads, head_dim]``, any strides; or a cache,
                of which plane 0 is the keys, with ``slots``. A cache whose layout has no H axis
                has one head.
            old_positions, new_positions: int32 or int64, from 0 to 2^31 - 1; the shape of ``keys``
                without its last two axes, or that of ``slots``. In host memory they are read before
                the call returns and must be complete by then.
            rope: how keys are rotated.
            slots: ``[n]`` tokens of the cache, each once, where the positions are (host or device);
                negative ones are padding and skipped with their positions.
            layer: which layer of the cache; all of them if None.

        Raises:
            ArgumentError: a position out of range, or past the end of ``cos_sin_cache``; no such
                layer; ``slots`` or ``layer`` without a cache, or a cache without ``slots``.
            SlotError: a slot past the end.
            OverlapError: a slot twice; ``keys`` overlaps itself or shares memory with positions,
                ``slots`` or ``cos_sin_cache``.
            DTypeError, ShapeError, DeviceError, FreedError: not such tensors.
        """
        raise self.unsupported(Capability.KV_ROPE)
