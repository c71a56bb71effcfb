"""Which of ACL's codes mean that work or the device failed, and which only refuse a call."""

from __future__ import annotations

from typing import Any

import pytest

#: One fill each, which fails with the next planned code; what is raised is printed.
FILLS = """
import torch, accel
backend = accel.get_backend("ascend")
buffer = torch.zeros(64, dtype=torch.uint8, device=backend.device)
torch.npu.synchronize()
stream = backend.streams.create()
for code in {codes}:
    try:
        backend.memcpy.fill(buffer, 1, stream)
        print("passed")
    except accel.AccelError as error:
        print(type(error).__name__, isinstance(error, accel.AsyncError), str(code) in str(error))
backend.memcpy.fill(buffer, 7, stream)
stream.synchronize()
print(bool((buffer == 7).all()))
"""
FAILED = (107020, 107022, 507000, 507010, 507015, 507035, 507042, 507053, 507057, 507899, 507901)
REFUSED = (107000, 107019, 507006, 507009, 507012, 507022, 507046, 507903, 507910, 507911, 508000)
NO_MEMORY = (207001, 207018)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (FAILED, "DeviceFailedError True True"),
        (REFUSED, "AclError False True"),
        (NO_MEMORY, "OutOfMemoryError False True"),
    ],
    ids=["failed", "refused", "memory"],
)
def test_codes(simulation: Any, codes: tuple[int, ...], expected: str) -> None:
    """Each call raises by its code, and the device works on afterwards."""
    plan = [f"call=aclrtMemsetAsync,nth={i + 1},code={code}" for i, code in enumerate(codes)]
    run = simulation("cann", faults=plan)
    said = run.python(FILLS.format(codes=codes)).check().stdout.splitlines()
    assert said == [expected] * len(codes) + ["True"]


def test_memory_that_somebody_registered(simulation: Any) -> None:
    """The device is not at fault where memory is registered already, and stays usable."""
    run = simulation("cann")
    source = """
import ctypes, torch, accel
backend = accel.get_backend("ascend")
acl = ctypes.CDLL("libascendcl.so")
memory = torch.zeros(64 * 1024, dtype=torch.uint8)
begin = -(-memory.data_ptr() // 4096) * 4096
device = ctypes.c_void_p()
pages = ctypes.c_uint64(8 * 4096)
assert acl.aclrtHostRegister(ctypes.c_void_p(begin), pages, 0, ctypes.byref(device)) == 0
try:
    backend.pinned.register(memory)
    print("registered")
except accel.AccelError as error:
    print(isinstance(error, accel.AsyncError), "507910" in str(error))
assert acl.aclrtHostUnregister(ctypes.c_void_p(begin)) == 0
backend.pinned.register(memory)
there = torch.ones(64 * 1024, dtype=torch.uint8, device=backend.device)
backend.memcpy.copy(there, memory)
backend.pinned.unregister(memory)
print(bool((there == 0).all()))
"""
    assert run.python(source).check().stdout.splitlines()[-2:] == ["False True", "True"]
