"""The simulator's C ABI by ctypes: device memory, streams, and communicators."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from accel_sim.testing.meeting import Meeting

ROOT_INFO_BYTES = 4108
SUCCESS, PARA, PTR, INTERNAL, NOT_SUPPORT, NOT_FOUND, UNAVAIL = 0, 1, 2, 4, 5, 6, 7
TIMEOUT, TCP_CONNECT, RUNTIME, REMOTE = 9, 11, 15, 21
SUM, PROD, MAX, MIN = range(4)
STREAM_TIMEOUT, STREAM_FAILED = 507048, 507018

#: HCCL's number of each type, and numpy's type of the same bytes. bfloat16 is kept as its bits.
TYPES = {
    "int8": (0, np.int8),
    "int16": (1, np.int16),
    "int32": (2, np.int32),
    "float16": (3, np.float16),
    "float32": (4, np.float32),
    "int64": (5, np.int64),
    "uint64": (6, np.uint64),
    "uint8": (7, np.uint8),
    "uint16": (8, np.uint16),
    "uint32": (9, np.uint32),
    "float64": (10, np.float64),
    "bfloat16": (11, np.uint16),
}


class Config(ctypes.Structure):
    """HcclCommConfig of configuration version 10."""

    _fields_ = [
        ("size", c_uint64),
        ("magic", c_uint32),
        ("version", c_uint32),
        ("reserved", c_uint64),
        ("buffer_size", c_uint32),
        ("deterministic", c_uint32),
        ("name", ctypes.c_char * 128),
        ("udi", ctypes.c_char * 128),
        ("expansion", c_uint32),
        ("traffic_class", c_uint32),
        ("service_level", c_uint32),
        ("world_rank", c_uint32),
        ("job", c_uint64),
        ("zero_copy", ctypes.c_uint8),
        ("exec_timeout", ctypes.c_int32),
        ("algorithm", ctypes.c_char * 1600),
        ("retry_enable", ctypes.c_char * 50),
        ("retry_params", ctypes.c_char * 128),
        ("buffer_name", ctypes.c_char * 128),
        ("qos", c_uint32),
        ("window", c_uint64),
    ]

    @staticmethod
    def made() -> Config:
        """As HcclCommConfigInit fills it."""
        unset = 0xFFFFFFFF
        config = Config(ctypes.sizeof(Config), 0xF0F0F0F0, 10, 0, unset, unset)
        config.traffic_class = config.service_level = config.qos = unset
        config.exec_timeout = -1
        config.window = 16
        return config


class Item(ctypes.Structure):
    """HcclSendRecvItem."""

    _fields_ = [
        ("kind", c_int),
        ("buffer", c_void_p),
        ("count", c_uint64),
        ("type", c_int),
        ("peer", c_uint32),
    ]


class World(Meeting):
    """This rank's process: its device, a stream, and files shared with the other ranks.

    Attributes:
        acl, hccl: the libraries.
        stream: a stream of the device ``rank``.
    """

    def __init__(self, rank: int, ranks: int, folder: Path) -> None:
        super().__init__(rank, ranks, folder)
        self.acl = ctypes.CDLL("libascendcl.so", mode=ctypes.RTLD_GLOBAL)
        self.hccl = ctypes.CDLL("libhccl.so")
        self.acl.aclGetRecentErrMsg.restype = c_char_p
        self._ok(self.acl.aclInit(None))
        self._ok(self.acl.aclrtSetDevice(rank))
        self.stream = self.new_stream()

    def new_stream(self) -> c_void_p:
        stream = c_void_p()
        self._ok(self.acl.aclrtCreateStream(byref(stream)))
        return stream

    @staticmethod
    def _ok(code: int) -> None:
        assert code == 0, code

    def error(self) -> str:
        """The text of the last failed call of this thread."""
        return (self.acl.aclGetRecentErrMsg() or b"").decode()

    # --- memory ---------------------------------------------------------------------------------

    def room(self, size: int) -> c_void_p:
        """Device memory filled with 0xA5."""
        pointer = c_void_p()
        self._ok(self.acl.aclrtMalloc(byref(pointer), c_uint64(max(size, 1)), 0))
        self._ok(self.acl.aclrtMemset(pointer, c_uint64(max(size, 1)), 0xA5, c_uint64(size)))
        return pointer

    def put(self, array: np.ndarray[Any, Any]) -> c_void_p:
        """Device memory that holds the array."""
        array = np.ascontiguousarray(array)
        pointer = self.room(array.nbytes)
        if array.nbytes:
            self._ok(
                self.acl.aclrtMemcpy(
                    pointer,
                    c_uint64(array.nbytes),
                    array.ctypes.data_as(c_void_p),
                    c_uint64(array.nbytes),
                    1,
                )
            )
        return pointer

    def get(self, pointer: c_void_p, count: int, dtype: Any) -> np.ndarray[Any, Any]:
        """What device memory holds now; does not wait for any stream."""
        array = np.empty(count, dtype)
        if array.nbytes:
            self._ok(
                self.acl.aclrtMemcpy(
                    array.ctypes.data_as(c_void_p),
                    c_uint64(array.nbytes),
                    pointer,
                    c_uint64(array.nbytes),
                    2,
                )
            )
        return array

    def free(self, *pointers: c_void_p) -> None:
        for pointer in pointers:
            self._ok(self.acl.aclrtFree(pointer))

    # --- streams --------------------------------------------------------------------------------

    def wait(self, stream: c_void_p | None = None) -> int:
        """The code of aclrtSynchronizeStream."""
        code: int = self.acl.aclrtSynchronizeStream(stream or self.stream)
        return code

    def busy(self, stream: c_void_p | None = None) -> bool:
        status = c_int()
        self._ok(self.acl.aclrtStreamQuery(stream or self.stream, byref(status)))
        return status.value == 1

    # --- communicators -------------------------------------------------------------------------

    def root_info(self, name: str = "root") -> Any:
        """The same root info on all ranks, from rank 0."""
        info = (ctypes.c_char * ROOT_INFO_BYTES)()
        if self.rank == 0:
            self._ok(self.hccl.HcclGetRootInfo(byref(info)))
            self.tell(name, bytes(info))
        else:
            ctypes.memmove(info, self.told(name), ROOT_INFO_BYTES)
        return info

    def join(self, config: Config | None = None, name: str = "root") -> c_void_p:
        """A communicator of all ranks."""
        comm = c_void_p()
        info = self.root_info(name)
        code = self.hccl.HcclCommInitRootInfoConfig(
            c_uint32(self.ranks),
            byref(info),
            c_uint32(self.rank),
            byref(config) if config else None,
            byref(comm),
        )
        assert code == SUCCESS, (code, self.error())
        return comm

    def async_error(self, comm: c_void_p) -> int:
        code = c_int(-1)
        self._ok(self.hccl.HcclGetCommAsyncError(comm, byref(code)))
        return code.value

    def destroy(self, comm: c_void_p) -> None:
        self._ok(self.hccl.HcclCommDestroy(comm))

    # --- operations, with counts as their C types -----------------------------------------------

    def all_reduce(
        self,
        comm: c_void_p,
        send: c_void_p,
        receive: c_void_p,
        count: int,
        kind: int,
        op: int = SUM,
        stream: c_void_p | None = None,
    ) -> int:
        code: int = self.hccl.HcclAllReduce(
            send, receive, c_uint64(count), kind, op, comm, stream or self.stream
        )
        return code

    def send(
        self,
        comm: c_void_p,
        buffer: c_void_p,
        count: int,
        kind: int,
        peer: int,
        stream: c_void_p | None = None,
    ) -> int:
        code: int = self.hccl.HcclSend(
            buffer, c_uint64(count), kind, c_uint32(peer), comm, stream or self.stream
        )
        return code

    def receive(
        self,
        comm: c_void_p,
        buffer: c_void_p,
        count: int,
        kind: int,
        peer: int,
        stream: c_void_p | None = None,
    ) -> int:
        code: int = self.hccl.HcclRecv(
            buffer, c_uint64(count), kind, c_uint32(peer), comm, stream or self.stream
        )
        return code

    def batch(self, comm: c_void_p, items: list[tuple[int, c_void_p, int, int, int]]) -> int:
        array = (Item * len(items))(*(Item(*item) for item in items))
        code: int = self.hccl.HcclBatchSendRecv(array, c_uint32(len(items)), comm, self.stream)
        return code


def counts(values: list[int]) -> Any:
    """A uint64 array."""
    return (c_uint64 * len(values))(*values)
