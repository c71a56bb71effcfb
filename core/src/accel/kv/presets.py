"""Named layouts: what each engine's cache looks like in accel's letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DTypeError, LayoutError, SizeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .cache import KVCache

__all__ = ["PRESETS", "dsa_indexer"]

#: Name -> layout. The upper-case names are LMCache's engine formats (NL layers, NB blocks, BS
#: block size, NBBS tokens, NH heads, HS head size, CS packed K and V content, ``_X_`` separate
#: tensors). A cache whose planes have layouts of their own is made with ``KVCache.join``: vLLM's
#: older paged pair (``vllm_paged_key`` and ``vllm_paged_value``), and the DSA indexer's pages of
#: values followed by scales (format NL_X_NB_BSV_BSS: :func:`dsa_indexer`).
PRESETS: dict[str, str] = {
    "vllm_nhd": "L | K B S H D",
    "vllm_hnd": "L | K B H S D",
    "vllm_mla": "L | B S D",
    "vllm_cross_layer": "| B L K S H D",
    "vllm_paged_key": "L | B H D1 S D0",
    "vllm_paged_value": "L | B H D S",
    "flashinfer": "L | B K S H D",
    "flashinfer_hnd": "L | B K H S D",
    "sglang_layer_first": "K L | T H D",
    "sglang_page_first": "K | T L H D",
    "sglang_page_head": "K | B H S L D",
    "sglang_mla": "L | T H D",
    "mla": "L | B S D",
    "cross_layer": "| B L K S H D",
    "contiguous": "| K L T H D",
    "lmcache_object": "| K L T D",
    "trtllm": "| B L K H S D",
    "NB_NL_TWO_BS_NH_HS": "| B L K S H D",
    "NL_X_TWO_NB_BS_NH_HS": "L | K B S H D",
    "NL_X_NB_TWO_BS_NH_HS": "L | B K S H D",
    "NL_X_NB_BS_HS": "L | B S D",
    "TWO_X_NL_X_NBBS_NH_HS": "K L | T H D",
    "NL_X_NBBS_ONE_HS": "L | T H D",
    "NL_X_TWO_NB_NH_BS_HS": "L | K B H S D",
    "NL_X_NB_TWO_NH_BS_HS": "L | B K H S D",
    "NB_NL_TWO_NH_BS_HS": "| B L K H S D",
    "TWO_X_NL_X_NB_BS_NH_HS": "K L | B S H D",
    "NL_X_NB_NH_BS_TWO_HS": "L | B H S K D",
    "NL_X_NB_BS_NH_TWO_HS": "L | B S H K D",
    "NL_X_NB_NH_BS_CS": "L | B H S D",
    "NL_X_NB_BS_NH_CS": "L | B S H D",
    "NL_X_TWO_NB_NH_ONE_BS_HS": "L | K B H 1 S D",
    "NL_X_TWO_X_NB_BS_NH_HS": "L K | B S H D",
    "NL_X_NP_X_NB_BS_ONE_HS": "L K | B S H D",
    "NL_X_NB_BS_NH_HS": "L | B S H D",
}


def dsa_indexer(
    pages: Sequence[torch.Tensor],
    *,
    block_size: int,
    value_bytes: int = 128,
    scale_bytes: int = 4,
) -> KVCache:
    """The cache of a DSA indexer (LMCache's NL_X_NB_BSV_BSS) as two planes of bytes.

    A page is ``block_size`` values of ``value_bytes`` each, then ``block_size`` scales of
    ``scale_bytes`` each. Plane 0 of the result is the values, plane 1 the scales; both are views
    of the pages.

    Args:
        pages: one tensor per layer, of any dtype and shape whose first axis is the block, each
            block contiguous; blocks may be padded apart.
    """
    import torch

    from .cache import KVCache

    for name, given in (
        ("block_size", block_size), ("value_bytes", value_bytes), ("scale_bytes", scale_bytes)
    ):  # fmt: skip
        if given < 1:
            raise SizeError(name, "at least 1", given)
    need = block_size * (value_bytes + scale_bytes)
    values, scales = [], []
    for i, page in enumerate(pages):
        if not isinstance(page, torch.Tensor):
            raise DTypeError(f"pages[{i}]", "a tensor", type(page).__name__)
        if page.dim() < 1 or (page.numel() and not page[0].is_contiguous()):
            raise LayoutError(f"pages[{i}]", "blocks that are contiguous", tuple(page.stride()))
        size = page.element_size()
        given = page[0].numel() * size if len(page) else need
        if given != need:
            raise SizeError(f"pages[{i}]", f"{need} bytes a block", given)
        raw = page.flatten(1) if page.dim() > 1 else page.unsqueeze(1)
        raw = raw.view(torch.uint8)
        step = raw.stride(0)
        start = raw.storage_offset()
        blocks = len(page)
        values.append(
            raw.as_strided((blocks, block_size, value_bytes), (step, value_bytes, 1), start)
        )
        scales.append(
            raw.as_strided(
                (blocks, block_size, scale_bytes),
                (step, scale_bytes, 1),
                start + block_size * value_bytes,
            )
        )
    return KVCache.join(KVCache(values, "L | B S D"), KVCache(scales, "L | B S D"))
