"""The trace of a torch_npu program."""

from __future__ import annotations

from typing import Any


def test_trace_of_a_program(npu: Any) -> None:
    simulation = npu(trace=True, seed=3)
    code = """
    import torch
    side = torch.npu.Stream()
    host = torch.arange(1 << 16, dtype=torch.int32).pin_memory()
    device = torch.empty_like(host, device="npu")
    torch.npu.synchronize()
    for _ in range(5):
        with torch.npu.stream(side):
            device.copy_(host, non_blocking=True)
    side.synchronize()
    (device + 1).cpu()
    """
    simulation.python(code)
    (trace,) = simulation.traces()
    names = ("aclrtMemcpyAsync", "aclrtMemcpyAsyncWithCondition")
    copies = [span for span in trace.named(*names) if span.bytes == 4 << 16]
    assert sum(trace.calls[name] for name in names) >= 5
    uploads = [span for span in copies if span.stream == copies[0].stream]
    assert len(uploads) == 5
    ends = [span.start + span.duration for span in uploads]
    starts = [span.start for span in uploads]
    assert all(end <= start + 1e-3 for end, start in zip(ends, starts[1:], strict=False)), "in turn"
    assert len(trace.streams()) >= 2, "the addition ran on the default stream"
    assert any("Add" in name for name in trace.counts())
    assert len(trace.rows) >= len(trace.streams())


def test_one_file_for_each_rank(npu: Any) -> None:
    simulation = npu(trace=True, devices=2)
    code = """
    import torch, torch.distributed as dist
    dist.init_process_group("hccl")
    torch.npu.set_device(dist.get_rank())
    x = torch.ones(100, device="npu")
    for _ in range(3):
        dist.all_reduce(x)
    assert x.cpu().eq(8).all()
    dist.destroy_process_group()
    """
    simulation.ranks(2, code)
    traces = [trace for trace in simulation.traces() if trace.calls["HcclAllReduce"]]
    assert [trace.calls["HcclAllReduce"] for trace in traces] == [3, 3]
