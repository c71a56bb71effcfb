"""Memory of devices and pinned memory: what is handed out again when, and who may touch it."""

from __future__ import annotations

from typing import Any


def test_allocator(mlu: Any) -> None:
    code = """
    import torch
    before = torch.mlu.memory_allocated()
    x = torch.empty(32 << 20, dtype=torch.uint8, device="mlu")
    pointer = x.data_ptr()
    assert torch.mlu.memory_allocated() - before == 32 << 20
    assert torch.accelerator.memory.memory_allocated() == torch.mlu.memory_allocated()
    del x
    assert torch.mlu.memory_allocated() == before
    again = torch.empty(32 << 20, dtype=torch.uint8, device="mlu")
    assert again.data_ptr() == pointer, "freed on its own stream, it is handed out at once"
    del again
    with torch.mlu.stream(torch.mlu.Stream()):
        other = torch.empty(32 << 20, dtype=torch.uint8, device="mlu")
        assert other.data_ptr() != pointer, "another stream gets memory of its own"
    del other
    assert torch.mlu.max_memory_reserved() >= 64 << 20
    torch.mlu.empty_cache()
    torch.mlu.reset_peak_memory_stats()
    assert torch.mlu.memory_reserved() == torch.mlu.max_memory_reserved() == 0
    free, total = torch.mlu.mem_get_info()
    assert free == total == 256 << 20, (free, total)
    print(torch.mlu.memory_stats()["segment.all.allocated"])
    """
    assert mlu(memory=256 << 20).python(code).last == "2"


def test_record_stream_holds_a_block(mlu: Any) -> None:
    """While the other stream is busy, memory that it was recorded with is handed to nobody."""
    code = """
    import torch
    side = torch.mlu.Stream()
    x = torch.ones(1 << 20, device="mlu")
    side.wait_stream(torch.mlu.current_stream())
    with torch.mlu.stream(side):
        host = torch.empty(1 << 20, pin_memory=True)
        host.copy_(x, non_blocking=True)
    x.record_stream(side)
    pointer = x.data_ptr()
    del x
    busy = torch.empty(1 << 20, device="mlu").data_ptr()
    side.synchronize()
    torch.empty(1, device="mlu")
    free = torch.empty(1 << 20, device="mlu").data_ptr()
    print(busy != pointer, host.eq(1).all().item())
    """
    stalled = mlu(faults=["copy_stalls,nth=1,ms=500"])
    assert stalled.python(code).last == "True True"


def test_pinned_memory_waits_for_the_copy(mlu: Any) -> None:
    """A pinned tensor may be dropped while the stream still reads it."""
    code = """
    import torch
    device = torch.empty(1 << 16, device="mlu")
    for value in range(10):
        device.copy_(torch.full((1 << 16,), float(value)).pin_memory(), non_blocking=True)
        torch.full((1 << 16,), -1.0).pin_memory()  # takes what is free
        assert device.eq(value).all().item(), value
    host = torch.arange(10.0).pin_memory()
    assert host.is_pinned() and host[3:].is_pinned() and not torch.ones(3).is_pinned()
    assert device.to("cpu", non_blocking=True).is_pinned()
    print("ok")
    """
    assert mlu(delay_us=300).python(code).last == "ok"


def test_out_of_memory(mlu: Any) -> None:
    code = """
    import torch
    kept = torch.ones(1000, device="mlu")
    many = [torch.empty(50 << 20, dtype=torch.uint8, device="mlu") for _ in range(4)]
    del many
    large = torch.empty(200 << 20, dtype=torch.uint8, device="mlu")  # of what was kept
    del large
    try:
        torch.empty(1 << 30, dtype=torch.uint8, device="mlu")
    except torch.OutOfMemoryError as error:
        print("refused:", "mlu:0" in str(error))
    assert kept.sum().item() == 1000
    print(torch.mlu.memory_stats()["num_ooms"])
    """
    assert mlu(memory=256 << 20).python(code).lines == ["refused: True", "1"]


def test_between_devices(mlu: Any) -> None:
    code = """
    import torch
    assert torch.mlu.can_device_access_peer(0, 1) and not torch.mlu.can_device_access_peer(0, 0)
    x = torch.arange(1 << 14, device="mlu:0")
    for _ in range(5):
        y = x.to("mlu:1", non_blocking=True) + 1
        z = y.to("mlu:0")
        assert torch.equal(z.cpu(), torch.arange(1, (1 << 14) + 1))
    part = torch.zeros(50, 60, device="mlu:1").t()
    part.copy_(torch.arange(3000, device="mlu:0").reshape(60, 50))
    assert torch.equal(part.cpu(), torch.arange(3000.0).reshape(60, 50))
    try:
        x + y
    except RuntimeError as error:
        print("same device" in str(error))
    """
    assert mlu(delay_us=200, strict=True).python(code).last == "True"


def test_storages_files_and_dlpack(mlu: Any) -> None:
    code = """
    import io, torch
    x = torch.arange(6.0, device="mlu:1")
    storage = x.untyped_storage()
    assert storage.device == torch.device("mlu:1") and storage.nbytes() == 24
    assert storage.cpu().mlu(0).cpu().tolist() == storage.cpu().tolist()
    same = torch.empty(0, device="mlu:1").set_(storage, 1, (2, 2), (2, 1))
    assert same.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    x.resize_(10000)
    assert x[:6].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    file = io.BytesIO()
    torch.save({"x": same, "y": torch.mlu.Stream().priority}, file)
    for place, device in ((None, "mlu:1"), ("cpu", "cpu"), ("mlu:0", "mlu:0")):
        file.seek(0)
        loaded = torch.load(file, map_location=place)["x"]
        assert str(loaded.device) == device and torch.equal(loaded.cpu(), same.cpu())
    shared = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(same))
    assert shared.device == same.device and shared.data_ptr() == same.data_ptr()
    print("ok")
    """
    assert mlu(delay_us=100).python(code).last == "ok"
