"""How many calls a KV transfer makes, counted on the simulator's trace.

What is counted is calls and work, which hardware would be given as well; no time is.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

LAYERS, BLOCK, FEW, MANY = 2, 16, 2, 14
PROGRAM = """
import sys, torch, accel
from accel.kv import KVCache

direction, layout, pages = sys.argv[1], sys.argv[2], int(sys.argv[3])
backend = accel.get_backend("ascend")
tokens = {BLOCK} * pages
shape = dict(layers={LAYERS}, blocks=32, block_size={BLOCK}, heads=2, head_dim=64)
paged = KVCache.allocate(layout, dtype=torch.bfloat16, device=backend.device, **shape)
for tensor in paged.tensors:
    tensor.copy_(torch.randn(tensor.shape).to(tensor.dtype))
where = backend.pinned.empty if "host" in direction else (
    lambda shape, dtype: torch.zeros(shape, dtype=dtype, device=backend.device)
)
chunk = KVCache(where((2, {LAYERS}, tokens, 128), torch.bfloat16), "lmcache_object")
# Whole pages, in an order in which no two of them are neighbours.
order = torch.arange(0, 32, 2)[:pages].flip(0)
slots = (order[:, None] * {BLOCK} + torch.arange({BLOCK})).flatten()
there = torch.arange(tokens)
side = backend.streams.create()
side.wait_stream(backend.streams.default())
if direction.startswith("to"):
    backend.kv.transfer(paged, chunk, slots, there, stream=side)
else:
    backend.kv.transfer(chunk, paged, there, slots, stream=side)
side.synchronize()
""".replace("{BLOCK}", str(BLOCK)).replace("{LAYERS}", str(LAYERS))


def copies(simulation: Any, *words: str) -> int:
    """Copy calls of a program, and its work on streams: whichever is more."""
    simulation.python(PROGRAM, *words)
    trace = max(simulation.traces(), key=lambda one: len(one.spans))
    calls = sum(count for name, count in trace.calls.items() if "Memcpy" in name)
    return max(calls, sum(trace.counts().values()))


@pytest.mark.parametrize("layout", ["vllm_nhd", "vllm_hnd"])
@pytest.mark.parametrize("direction", ["to host", "from host", "to device"])
def test_one_call_per_page_at_most(simulation: Any, direction: str, layout: str) -> None:
    """Seven times the pages make at most one more call for each more page, and none per token."""
    if importlib.util.find_spec("torch_npu") is None:
        pytest.skip("torch-npu is not installed; `make conformance-ascend` installs it")
    found = [
        copies(simulation("cann", trace=True, seed=1), direction, layout, str(pages))
        for pages in (FEW, MANY)
    ]
    pages = (MANY - FEW) * LAYERS * 2  # a page holds the keys, or the values, of one layer
    assert found[1] - found[0] <= pages, f"{found[0]} calls for {FEW} pages, {found[1]} for {MANY}"
