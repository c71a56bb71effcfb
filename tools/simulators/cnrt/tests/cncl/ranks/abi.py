"""CNRT's and CNCL's C ABI by ctypes: device memory, queues and communicators."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from accel_sim.testing.meeting import Meeting

SUCCESS, IN_PROGRESS, ARGUMENTS, UNSUPPORTED = 0x00, 0x06, 0x07, 0x11
ASYNC_ERROR, NULL_POINTER, SOCKET, NOT_INIT = 0x16, 0x21, 0x22, 0x61
QUEUE_FAILED = 632015
SUM, PROD, MAX, MIN = range(4)
BUSY = (1, 632014)

#: CNCL's number of each type, and numpy's type of the same bytes. bfloat16 is kept as its bits.
TYPES: dict[str, tuple[int, Any]] = {
    "float16": (0x10, np.float16),
    "bfloat16": (0x11, np.uint16),
    "float32": (0x12, np.float32),
    "int8": (0x20, np.int8),
    "int16": (0x21, np.int16),
    "int32": (0x22, np.int32),
    "int64": (0x23, np.int64),
    "uint8": (0x30, np.uint8),
    "uint16": (0x31, np.uint16),
    "uint32": (0x32, np.uint32),
    "uint64": (0x33, np.uint64),
}
FLOAT32, INT32 = TYPES["float32"][0], TYPES["int32"][0]


class CliqueId(ctypes.Structure):
    """cnclCliqueId."""

    _fields_ = [("data", ctypes.c_char * 128), ("hash", ctypes.c_uint64)]


class Place:
    """A device of this process and a queue on it."""

    def __init__(self, cnrt: Any, device: int) -> None:
        self.cnrt, self.device = cnrt, device
        self.queue = c_void_p()
        self.enter()
        assert cnrt.cnrtQueueCreate(byref(self.queue)) == 0

    def enter(self) -> None:
        assert self.cnrt.cnrtSetDevice(self.device) == 0

    def room(self, size: int) -> c_void_p:
        """Device memory filled with 0xA5."""
        self.enter()
        pointer = c_void_p()
        assert self.cnrt.cnrtMalloc(byref(pointer), c_size_t(max(size, 1))) == 0
        assert self.cnrt.cnrtMemset(pointer, 0xA5, c_size_t(max(size, 1))) == 0
        return pointer

    def put(self, array: np.ndarray[Any, Any]) -> c_void_p:
        """Device memory that holds the array."""
        array = np.ascontiguousarray(array)
        pointer = self.room(array.nbytes)
        self._copy(pointer, array.ctypes.data_as(c_void_p), array.nbytes, 0)
        return pointer

    def get(self, pointer: c_void_p, count: int, dtype: Any) -> np.ndarray[Any, Any]:
        """What device memory holds now; does not wait for any queue."""
        array = np.empty(count, dtype)
        self._copy(array.ctypes.data_as(c_void_p), pointer, array.nbytes, 2)
        return array

    def _copy(self, target: Any, source: Any, size: int, direction: int) -> None:
        if size:
            code = self.cnrt.cnrtMemcpy(target, source, c_size_t(size), direction)
            assert code == 0, code

    def wait(self) -> int:
        """The code of cnrtQueueSync."""
        self.enter()
        return int(self.cnrt.cnrtQueueSync(self.queue))

    def busy(self) -> bool:
        code = self.cnrt.cnrtQueueQuery(self.queue)
        assert code == 0 or code in BUSY, code
        return code != 0


class World(Meeting):
    """This rank's process: the libraries, and its place on the device that has its number."""

    def __init__(self, rank: int, ranks: int, folder: Path) -> None:
        super().__init__(rank, ranks, folder)
        self.cnrt = ctypes.CDLL("libcnrt.so", mode=ctypes.RTLD_GLOBAL)
        self.cncl = ctypes.CDLL("libcncl.so")
        self.cncl.cnclGetErrorStr.restype = c_char_p
        self.here = Place(self.cnrt, rank)

    def text(self, code: int) -> str:
        return str(self.cncl.cnclGetErrorStr(code).decode())

    def ok(self, code: int) -> None:
        assert code == SUCCESS, (hex(code), self.text(code))

    def clique(self, name: str = "clique") -> CliqueId:
        """The same identifier on all ranks, from rank 0."""
        if self.rank == 0:
            made = CliqueId()
            self.ok(self.cncl.cnclGetCliqueId(byref(made)))
            self.tell(name, bytes(made))
            return made
        return CliqueId.from_buffer_copy(self.told(name))

    def init(
        self, devices: list[int], members: list[int], size: int, clique: CliqueId | None
    ) -> tuple[int, list[c_void_p]]:
        """cnclInitComms: its code, and a communicator for each of this process's members."""
        count = len(members)
        comms = (c_void_p * count)()
        code = self.cncl.cnclInitComms(
            comms,
            count,
            (c_int * count)(*devices),
            (c_int * count)(*members),
            size,
            byref(clique) if clique else None,
        )
        return code, [c_void_p(comm) for comm in comms]

    def join(self, name: str = "clique") -> c_void_p:
        """A communicator of one rank for each process."""
        code, comms = self.init([self.rank], [self.rank], self.ranks, self.clique(name))
        self.ok(code)
        return comms[0]

    def state(self, comm: c_void_p) -> int:
        return int(self.cncl.cnclGetCommAsyncError(comm))

    def free(self, comm: c_void_p) -> None:
        self.ok(self.cncl.cnclFreeComm(comm))

    def all_reduce(
        self,
        comm: c_void_p,
        send: c_void_p,
        receive: c_void_p,
        count: int,
        kind: int = INT32,
        op: int = SUM,
        at: Place | None = None,
    ) -> int:
        queue = (at or self.here).queue
        code = self.cncl.cnclAllReduce(send, receive, c_size_t(count), kind, op, comm, queue)
        return int(code)

    def message(self, comm: c_void_p, sends: bool, buffer: c_void_p, count: int, peer: int) -> int:
        """cnclSend or cnclRecv of int32."""
        call = self.cncl.cnclSend if sends else self.cncl.cnclRecv
        return int(call(buffer, c_size_t(count), INT32, peer, comm, self.here.queue))
