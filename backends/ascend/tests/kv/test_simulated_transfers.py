"""Transfers with the host under the CANN simulator: how many ACL calls, and the right bytes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("torch_npu") is None:
    pytest.skip("needs torch-npu, for use under the simulator", allow_module_level=True)
accel_sim = pytest.importorskip("accel_sim", reason="accel-sim")

PROGRAM = """
import sys, torch, accel
from accel.kv import KVCache

backend = accel.get_backend("ascend")
reference = accel.get_backend("cpu-reference")
size = dict(layers=3, blocks=8, block_size=16, heads=4, head_dim=64, dtype=torch.int16)


def like(cache, make):
    tensors = [make(t) for t in cache.tensors]
    return KVCache(tensors if len(tensors) > 1 else tensors[0], cache.layout)


def pinned(t):
    held = backend.pinned.empty(tuple(t.shape), t.dtype)
    held.copy_(t)
    return held


device, host = sys.argv[1], sys.argv[2]
read, write = torch.tensor([6, 1, 3, -1, 0, 7]), torch.tensor([2, 5, 0, 3, 6, 1])
for to_host in (True, False):
    layouts = (device, host) if to_host else (host, device)
    src, dst = (KVCache.allocate(layout, **size) for layout in layouts)
    for t in (*src.tensors, *dst.tensors):
        t.random_()
    here = [like(c, (lambda t: t.npu()) if (i == 0) == to_host else pinned)
            for i, c in enumerate((src, dst))]
    backend.streams.synchronize()
    reference.kv.swap_blocks(src, dst, torch.stack([read, write], 1))
    stream = backend.streams.create()
    backend.kv.swap_blocks(*here, torch.stack([read, write], 1), stream=stream)
    stream.synchronize()
    for made, wanted in zip(here[1].tensors, dst.tensors):
        assert torch.equal(made.cpu(), wanted), to_host
print(backend.kv.host_ways)
"""


@pytest.mark.parametrize(
    ("cann", "device", "host", "way", "calls"),
    [
        ("8.0", "| L B K S H D", "| B L K S H D", "aclrtMemcpy2dAsync", 5),
        ("8.5", "| L B K S H D", "| B L K S H D", "aclrtMemcpyBatchAsync", 1),
        ("8.5", "vllm_nhd", "vllm_cross_layer", "aclrtMemcpyBatchAsync", 1),
        ("8.0", "vllm_nhd", "vllm_hnd", "", 0),
    ],
)
def test_acl_calls_of_five_pages(
    simulation: Any, cann: str, device: str, host: str, way: str, calls: int
) -> None:
    """One pitched call a page, or one batched call; what takes more goes by operators."""
    run = simulation("cann", cann=cann, trace=True, delay_us=200)
    done = run.python(PROGRAM, device, host)
    if not way:
        assert "'2d': 0, 'batch': 0, 'operators': 2" in done.stdout
        return
    (trace,) = run.traces()
    kinds = ("aclrtMemcpy2dAsync", "aclrtMemcpyBatchAsync")
    counted = {kind: trace.calls[kind] for kind in kinds if trace.calls[kind]}
    assert counted == {way: 2 * calls}, done.stdout
