"""KV shapes of real models, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["SHAPES", "KVShape"]


@dataclass(frozen=True)
class KVShape:
    """What one device holds of a model's KV cache."""

    name: str
    layers: int
    heads: int
    head_dim: int
    planes: int = 2  #: 2 for keys and values, 1 for MLA's latent
    block_size: int = 16
    dtype_name: str = "bfloat16"
    summary: str = ""

    @property
    def dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype_name)
        return dtype

    @property
    def elements(self) -> int:
        """Elements of one token in one plane of one layer."""
        return self.heads * self.head_dim

    @property
    def token_bytes(self) -> int:
        """Payload bytes of one token over all layers and planes."""
        return self.layers * self.layer_bytes

    @property
    def layer_bytes(self) -> int:
        """Payload bytes of one token in one layer."""
        return self.planes * self.elements * self.dtype.itemsize

    @property
    def paged_layout(self) -> str:
        """The preset of the paged cache that engines use for it."""
        return "vllm_nhd" if self.planes == 2 else "vllm_mla"


SHAPES: dict[str, KVShape] = {
    shape.name: shape
    for shape in (
        KVShape("cpu-16x8x128", 16, 8, 128, summary="16 layers: what a CPU moves in little time"),
        KVShape("llama-3-8b", 32, 8, 128, summary="Llama 3 8B"),
        KVShape("llama-3-70b-tp8", 80, 1, 128, summary="Llama 3 70B, one of 8 ranks"),
        KVShape("qwen2.5-7b", 28, 4, 128, summary="Qwen2.5 7B"),
        KVShape("deepseek-v3-mla", 61, 1, 576, planes=1, summary="DeepSeek V3, MLA latent + rope"),
    )
}
