"""Streams and events as torch.mlu has them."""

from __future__ import annotations

from typing import Any


def test_pools_and_priorities(mlu: Any) -> None:
    code = """
    import torch
    assert torch.mlu.Stream.priority_range() == (0, -3)
    assert [torch.mlu.Stream(priority=p).priority for p in (0, -1, -2, -3, -9, 5)] == [
        0, -1, -2, -3, -3, 0]
    handles = {torch.mlu.Stream().mlu_stream for _ in range(200)}
    first = {torch.mlu.Stream(priority=-1).mlu_stream for _ in range(200)}
    assert len(handles) == len(first) == 32 and not handles & first
    assert torch.mlu.default_stream().mlu_stream == 0
    assert torch.mlu.current_stream() == torch.mlu.default_stream()
    one = torch.mlu.Stream(device=1)
    assert one.device == torch.device("mlu:1") and one.mlu_stream not in handles
    again = torch.mlu.Stream(
        stream_id=one.stream_id, device_index=one.device_index, device_type=one.device_type)
    assert again == one and again.mlu_stream == one.mlu_stream
    outside = torch.mlu.ExternalStream(one.mlu_stream, device=1)
    with torch.mlu.stream(outside):
        assert torch.mlu.current_device() == 1
        assert torch.mlu.current_stream().mlu_stream == one.mlu_stream
        x = torch.ones(5, device="mlu") + 1
    one.synchronize()
    assert torch.mlu.current_device() == 0 and x.sum().item() == 10 and outside.query()
    print("ok")
    """
    assert mlu().python(code).last == "ok"


def test_times(mlu: Any) -> None:
    """Both clocks agree with what the host saw pass; what has no time is refused."""
    code = """
    import time, torch
    start, end = torch.mlu.Event(enable_timing=True), torch.mlu.Event(enable_timing=True)
    begin = time.perf_counter()
    start.record()
    torch.ones(1 << 20, device="mlu").cumsum(0)
    end.record()
    end.synchronize()
    passed = (time.perf_counter() - begin) * 1e3
    ms, us = start.elapsed_time(end), start.hardware_time(end)
    assert 0 < ms <= passed and abs(us - 1e3 * ms) < 1 + us / 10, (ms, us, passed)
    for first, second in (
        (torch.mlu.Event(enable_timing=True), end),
        (torch.mlu.Event().record() or torch.mlu.Event(), end),
    ):
        try:
            first.elapsed_time(second)
        except RuntimeError as error:
            continue
        raise AssertionError("a time that is none")
    plain = torch.mlu.Event()
    plain.record()
    plain.synchronize()
    try:
        plain.elapsed_time(end)
    except RuntimeError as error:
        print("cnrtNotifierElapsedTime" in str(error))
    """
    assert mlu(delay_us=100).python(code).last == "True"


def test_torchs_general_interface(mlu: Any) -> None:
    code = """
    import torch
    assert torch.accelerator.current_accelerator() == torch.device("mlu")
    assert torch.accelerator.device_count() == 2
    stream, event = torch.Stream(device="mlu:1"), torch.Event(device="mlu:1")
    with stream:
        x = torch.full((1000,), 3.0, device="mlu:1")
        event.record(stream)
    event.synchronize()
    assert event.query()
    stream.synchronize()
    assert stream.query()
    torch.accelerator.set_device_index(1)
    assert torch.mlu.current_device() == 1
    torch.accelerator.set_stream(torch.mlu.default_stream(1))
    torch.accelerator.synchronize()
    print(x.sum().item(), torch.get_device_module() is torch.mlu)
    """
    assert mlu(delay_us=100).python(code).last == "3000.0 True"


def test_each_thread_has_its_own_current_stream(mlu: Any) -> None:
    code = """
    import threading, torch
    side = torch.mlu.Stream()
    seen = []
    def look():
        seen.append(torch.mlu.current_stream() == torch.mlu.default_stream())
    with torch.mlu.stream(side):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        seen.append(torch.mlu.current_stream() == side)
    print(seen)
    """
    assert mlu().python(code).last == "[True, True]"
