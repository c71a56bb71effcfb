"""Memory and notifiers that another process of the machine uses."""

from __future__ import annotations

from typing import Any

CHILD = """
import subprocess
def other(source):
    return subprocess.Popen([sys.executable, "-c", "from cnrt import *\\nimport sys\\n" + source],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def handle_of(pointer):
    return made("cnrtAcquireMemHandle", c_void_p, c_void_p(pointer)).value
"""


def test_memory(cnrt: Any) -> None:
    cnrt(
        CHILD
        + """
p = malloc(5000)
data = os.urandom(5000)
write(p, data)
child = other('''
handle = c_void_p(int(sys.stdin.readline()))
q = made("cnrtMapMemHandle", c_void_p, handle, 0).value
assert made("cnrtMapMemHandle", c_void_p, handle, 0).value == q
print(read(q, 5000).hex(), flush=True)
write(q, b"child")
ok("cnrtUnMapMemHandle", c_void_p(q))
write(q + 10, b"again")
ok("cnrtUnMapMemHandle", c_void_p(q))
print(copy_code(q, q, 1, D2D), code("cnrtUnMapMemHandle", c_void_p(q)), flush=True)
sys.stdin.readline()
print(code("cnrtMapMemHandle", ctypes.byref(c_void_p()), handle, 0))
''')
handle = handle_of(p)
assert handle_of(p) == handle
out, _ = "", child.stdin.write(f"{handle}\\n"); child.stdin.flush()
assert bytes.fromhex(child.stdout.readline()) == data
assert child.stdout.readline().split() == [str(DRIVER), str(ARGS)], "unmapped"
assert read(p, 16) == b"child" + data[5:10] + b"again" + data[15:16]
ok("cnrtFree", c_void_p(p))
child.stdin.write("\\n"); child.stdin.flush()
assert child.stdout.readline() == f"{DRIVER}\\n", "freed by its owner"
assert child.wait() == 0
""",
        delay_us=100,
    )


def test_what_cannot_be_shared(cnrt: Any) -> None:
    cnrt(
        CHILD
        + """
p, host = malloc(64), pinned(64)
acquire = lambda at: code("cnrtAcquireMemHandle", byref(c_void_p()), c_void_p(at))
assert acquire(p + 8) == ARGS
assert acquire(host) == NOT_SUPPORTED
assert acquire(addressof(ctypes.create_string_buffer(8))) == ARGS
map_ = lambda handle, flags=0: code("cnrtMapMemHandle", byref(c_void_p()), c_void_p(handle), flags)
assert map_(handle_of(p), 1) == ARGS
assert map_(handle_of(p) ^ 1) == DRIVER
"""
    )


def test_notifiers(cnrt: Any) -> None:
    cnrt(
        CHILD
        + """
q, n = queue(), notifier(INTERPROCESS | UNTIMED)
handle = ctypes.create_string_buffer(64)
ok("cnrtIpcGetNotifierHandle", handle, n)
child = other('''
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char * 64)]
raw = bytes.fromhex(sys.stdin.readline())
n = made("cnrtIpcOpenNotifierHandle", c_void_p, Handle.from_buffer_copy(raw))
print(code("cnrtQueryNotifier", n), flush=True)
ok("cnrtQueueWaitNotifier", n, None, 0)
call(None, lambda: print("after", flush=True))
ok("cnrtQueueSync", None)
''')
opened = gate(q)
call(q, lambda: print("before", flush=True))
ok("cnrtPlaceNotifier", n, q)
child.stdin.write(handle.raw.hex() + "\\n"); child.stdin.flush()
assert child.stdout.readline() == f"{NOT_READY}\\n"
opened.set()
assert child.stdout.readline() == "after\\n"
assert child.wait() == 0
ok("cnrtQueryNotifier", n)
plain = notifier()
assert code("cnrtIpcGetNotifierHandle", handle, plain) == DRIVER
"""
    )
