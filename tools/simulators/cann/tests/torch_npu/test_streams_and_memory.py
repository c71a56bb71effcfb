"""Streams, events, the caching allocator and pinned memory, as torch_npu's users see them."""

from __future__ import annotations

from typing import Any

from accel_sim.torch_programs import check_guard, check_order


def test_streams_and_pageable_copies_keep_their_order(npu: Any) -> None:
    check_order(npu(delay_us=200), "npu")


def test_the_host_cannot_read_device_memory(npu: Any) -> None:
    check_guard(npu(), "npu")


def test_times_of_events(npu: Any) -> None:
    code = """
    import torch
    x = torch.zeros(1 << 16, device="npu")
    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    start.record()
    x.add_(1)
    end.record()
    end.synchronize()
    print(start.elapsed_time(end) >= 0)
    """
    assert npu(delay_us=200).python(code).last == "True"


def test_streams_with_priorities(npu: Any) -> None:
    """The first stream with a priority makes 32 more of them; all of them work."""
    code = """
    import torch
    streams = [torch.npu.Stream(priority=p) for p in (0, -1, 0, -1)]
    parts = []
    for i, stream in enumerate(streams):
        stream.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(stream):
            parts.append(torch.full((1000,), float(i), device="npu").cumsum(0)[-1:])
    for stream in streams:
        torch.npu.current_stream().wait_stream(stream)
    print(torch.cat(parts).tolist())
    """
    assert npu(delay_us=200).python(code).last == "[0.0, 1000.0, 2000.0, 3000.0]"


def test_allocator(npu: Any) -> None:
    code = """
    import torch
    before = torch.npu.memory_allocated()
    x = torch.empty(32 << 20, dtype=torch.uint8, device="npu")
    pointer = x.data_ptr()
    assert torch.npu.memory_allocated() - before >= 32 << 20
    del x
    assert torch.npu.memory_allocated() == before
    again = torch.empty(32 << 20, dtype=torch.uint8, device="npu")
    assert again.data_ptr() == pointer
    del again
    torch.npu.empty_cache()
    assert torch.npu.memory_reserved() == 0
    free, total = torch.npu.mem_get_info()
    assert free == total == 256 << 20, (free, total)
    print("ok")
    """
    assert npu(memory=256 << 20).python(code).last == "ok"


def test_out_of_memory(npu: Any) -> None:
    code = """
    import torch
    kept = torch.ones(1000, device="npu")
    try:
        torch.empty(1 << 30, dtype=torch.uint8, device="npu")
    except torch.OutOfMemoryError as error:
        print("refused:", type(error).__name__, "out of memory" in str(error).lower())
    assert kept.sum().item() == 1000
    small = torch.empty(64 << 20, dtype=torch.uint8, device="npu")
    print("ok")
    """
    done = npu(memory=256 << 20).python(code)
    assert done.lines[-2:] == ["refused: OutOfMemoryError True", "ok"]


def test_pinned_memory(npu: Any) -> None:
    code = """
    import torch
    host = torch.empty(1 << 18, pin_memory=True)
    assert host.is_pinned() and not torch.empty(4).is_pinned()
    device = torch.empty_like(host, device="npu")
    for value in range(20):
        host.fill_(value)
        device.copy_(host, non_blocking=True)
        device.add_(1)
        back = device.to("cpu", non_blocking=True)
        torch.npu.current_stream().synchronize()
        assert back.eq(value + 1).all(), value
    print("ok")
    """
    assert npu(delay_us=200).python(code).last == "ok"


def test_between_devices(npu: Any) -> None:
    code = """
    import torch
    x = torch.arange(1 << 16, device="npu:0")
    for _ in range(10):
        y = x.to("npu:1", non_blocking=True) + 1
        z = y.to("npu:0")
        assert torch.equal(z.cpu(), torch.arange(1, (1 << 16) + 1))
    print("ok")
    """
    assert npu(devices=2, delay_us=200).python(code).last == "ok"
