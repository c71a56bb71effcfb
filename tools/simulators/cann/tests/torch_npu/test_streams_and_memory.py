"""Streams, events, the caching allocator and pinned memory, as torch_npu's users see them."""

from __future__ import annotations

from typing import Any


def test_streams_and_events(npu: Any) -> None:
    code = """
    import torch

    a, b = torch.npu.Stream(), torch.npu.Stream()
    x = torch.zeros(1 << 16, device="npu")
    torch.npu.synchronize()
    for value in range(1, 30):
        with torch.npu.stream(a):
            x.fill_(value)
            done = a.record_event()
        b.wait_event(done)
        with torch.npu.stream(b):
            y = x * 2
        b.synchronize()
        assert done.query() and b.query()
        assert y.cpu().eq(2 * value).all(), value
        a.wait_stream(b)

    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    start.record()
    x.add_(1)
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) >= 0
    fresh = torch.npu.Event()
    assert fresh.query()
    torch.npu.current_stream().wait_event(fresh)
    torch.npu.synchronize()
    print("ok")
    """
    assert npu(delay_us=200).python(code).last == "ok"


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


def test_a_pageable_copy_returns_when_it_is_done(npu: Any) -> None:
    code = """
    import torch
    device = torch.empty(1 << 18, device="npu")
    for value in range(20):
        host = torch.full((1 << 18,), float(value))
        device.copy_(host, non_blocking=True)
        host.fill_(-1)  # too late to be seen
        assert device.cpu().eq(value).all(), value
    print("ok")
    """
    assert npu(delay_us=200).python(code).last == "ok"


def test_the_host_cannot_read_device_memory(npu: Any) -> None:
    code = """
    import ctypes, torch
    x = torch.ones(1000, device="npu")
    torch.npu.synchronize()
    print(ctypes.c_float.from_address(x.data_ptr()).value)
    """
    done = npu().python(code, check=False)
    assert done.returncode == -11  # SIGSEGV
    assert done.stdout == ""


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
