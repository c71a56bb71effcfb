"""Captured graphs, and the allocator that maps physical memory into reserved addresses."""

from __future__ import annotations

from typing import Any


def test_a_graph_is_replayed_on_new_inputs(npu: Any) -> None:
    code = """
    import torch, torch_npu
    x, y = torch.zeros(1000, device="npu"), torch.zeros(1000, device="npu")
    side = torch.npu.Stream()
    side.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(side):
        y.copy_(x + 1)
    torch.npu.current_stream().wait_stream(side)
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        y.copy_(x * 2 + 1)
    for value in (5, 7):
        x.fill_(value)
        graph.replay()
        torch.npu.synchronize()
        print(set(y.cpu().tolist()))
    """
    assert npu(delay_us=200).python(code).lines[-2:] == ["{11.0}", "{15.0}"]


def test_expandable_segments(npu: Any) -> None:
    """A tensor lies over several mappings; an emptied cache unmaps what nobody uses."""
    code = """
    import torch, torch_npu
    small = [torch.full((3_000_000,), i, device="npu") for i in range(4)]
    large = torch.ones(30_000_000, device="npu")
    print([int(t.double().mean().item()) for t in small], int(large.sum().item()))
    before = torch.npu.memory_reserved()
    del small, large
    torch.npu.empty_cache()
    print(torch.npu.memory_reserved() < before)
    """
    variables = {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"}
    lines = npu(strict=True, variables=variables).python(code).lines
    assert lines[-2:] == ["[0, 1, 2, 3] 30000000", "True"]
