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
