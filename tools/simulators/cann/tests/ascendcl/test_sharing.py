"""Device memory that another process of the machine uses."""

from __future__ import annotations

from typing import Any

CHILD = """
child = '''
from acl import *
import sys
ok("aclrtSetDevice", 0)
print("ready", flush=True)
key = sys.stdin.readline().strip().encode()
p = c_void_p()
print(code("aclrtIpcMemImportByKey", byref(p), key, c_uint64(0)), flush=True)
if p.value:
    print(read(p.value, 1000).hex(), flush=True)
    write(p.value + 10, b"child")
    at = ctypes.addressof(ctypes.create_string_buffer(2000))
    print(copy_code(at, p.value, 1001, D2H), flush=True)
    ok("aclrtIpcMemClose", key)
    print(copy_code(at, p.value, 1, D2H), flush=True)
'''
import subprocess
other = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
assert other.stdout.readline() == "ready\\n"
p = malloc(5000) + 700
data = os.urandom(1000)
write(p, data)
key = ctypes.create_string_buffer(65)
def export(flags=0):
    ok("aclrtIpcMemGetExportKey", c_void_p(p), c_size_t(1000), key, c_size_t(65), c_uint64(flags))
def tell():
    other.stdin.write(key.value.decode() + "\\n")
    other.stdin.flush()
    return int(other.stdout.readline())
"""


def test_memory_of_another_process(acl: Any) -> None:
    acl(
        CHILD
        + """
export()
ok("aclrtIpcMemSetImportPid", key, byref(c_int32(other.pid)), c_size_t(1))
assert tell() == 0
assert bytes.fromhex(other.stdout.readline()) == data
assert other.stdout.readline() == "507053\\n"  # beyond what was shared
assert other.stdout.readline() == "507053\\n"  # closed
assert other.wait() == 0
assert read(p, 20) == data[:10] + b"child" + data[15:20]
ok("aclrtIpcMemClose", key)
"""
    )


def test_who_was_not_allowed_cannot_import(acl: Any) -> None:
    acl(CHILD + "export()\nassert tell() == 507022\nassert other.wait() == 0")


def test_open_to_all(acl: Any) -> None:
    acl(CHILD + "export(1)\nassert tell() == 0\nassert other.wait() == 0")


def test_a_withdrawn_key(acl: Any) -> None:
    acl(CHILD + 'export(1)\nok("aclrtIpcMemClose", key)\nassert tell() == 507022\nother.wait()')


def test_keys_are_of_device_memory(acl: Any) -> None:
    acl(
        """
        key = ctypes.create_string_buffer(65)
        def export(p, n, room=65):
            return code("aclrtIpcMemGetExportKey", c_void_p(p), c_size_t(n), key, c_size_t(room),
                        c_uint64(0))
        p = malloc(100)
        assert export(p, 100, 64) == 100000
        assert export(p, 101) == 507053
        assert export(pinned(100), 100) == 507022
        assert code("aclrtIpcMemImportByKey", byref(c_void_p()), b"nonsense", c_uint64(0)) == 507022
        """
    )


def test_physical_memory_of_another_process(acl: Any) -> None:
    acl(
        """
        import subprocess
        child = '''
        from acl import *
        import sys
        ok("aclrtSetDevice", 1)
        print("ready", flush=True)
        for line in sys.stdin:
            shareable, handle, base = c_uint64(int(line)), c_void_p(), c_void_p()
            result = code("aclrtMemImportFromShareableHandle", shareable, 1, byref(handle))
            if result == 0:
                large = c_size_t(2 << 20)
                ok("aclrtReserveMemAddress", byref(base), large, c_size_t(0), None, c_uint64(1))
                ok("aclrtMapMem", base, large, c_size_t(0), handle, c_uint64(0))
                print(read(base.value, 6).decode(), flush=True)
                write(base.value, b"answer")
            print(result, flush=True)
        '''
        import textwrap
        other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(child)], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert other.stdout.readline() == "ready\\n"
        class Properties(ctypes.Structure):
            _fields_ = [("handle_type", c_int), ("allocation", c_int), ("attribute", c_int),
                        ("id", c_uint32), ("type", c_uint32), ("reserved", c_uint64)]
        base, handle, shareable = c_void_p(), c_void_p(), c_uint64()
        large = c_size_t(2 << 20)
        device = Properties(0, 0, 4, 0, 1, 0)
        ok("aclrtMallocPhysical", byref(handle), large, byref(device), c_uint64(0))
        ok("aclrtReserveMemAddress", byref(base), large, c_size_t(0), None, c_uint64(1))
        ok("aclrtMapMem", base, large, c_size_t(0), handle, c_uint64(0))
        write(base.value, b"shared")
        ok("aclrtMemExportToShareableHandle", handle, 0, c_uint64(0), byref(shareable))
        def tell():
            other.stdin.write(f"{shareable.value}\\n")
            other.stdin.flush()
            return other.stdout.readline().strip()
        assert tell() == "507022"  # not allowed yet
        ok("aclrtMemSetPidToShareableHandle", shareable, byref(c_int32(other.pid)), c_size_t(1))
        assert tell() == "shared"
        assert other.stdout.readline() == "0\\n"
        assert read(base.value, 6) == b"answer"
        other.stdin.close()
        assert other.wait() == 0
        """
    )
