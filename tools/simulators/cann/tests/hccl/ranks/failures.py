"""Calls that do not match, ranks that go away, and arguments that are refused."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from ctypes import byref, c_char_p, c_uint32, c_uint64, c_void_p
from typing import Any

import numpy as np
from abi import REMOTE, ROOT_INFO_BYTES, SUCCESS, TYPES, Config, World, counts

INT32, FLOAT32 = TYPES["int32"][0], TYPES["float32"][0]


def mismatched(world: World, what: str) -> list[Any]:
    """The last rank calls something else than the others."""
    comm, lib = world.join(), world.hccl
    odd = world.rank == world.ranks - 1
    n = world.ranks
    send, receive = world.room(256), world.room(256)
    if what == "count":
        code = world.all_reduce(comm, send, receive, 8 if odd else 4, INT32)
    elif what == "type":
        code = world.all_reduce(comm, send, receive, 4, FLOAT32 if odd else INT32)
    elif what == "op":
        code = world.all_reduce(comm, send, receive, 4, INT32, 2 if odd else 0)
    elif what == "root":
        code = lib.HcclBroadcast(send, c_uint64(4), INT32, c_uint32(int(odd)), comm, world.stream)
    elif what == "operation":
        if odd:
            code = lib.HcclAllGather(send, receive, c_uint64(4), INT32, comm, world.stream)
        else:
            code = world.all_reduce(comm, send, receive, 4, INT32)
    elif what == "split":
        lengths = counts([3 if odd else 2] * n)
        places = counts([4 * i for i in range(n)])
        code = lib.HcclAlltoAllV(
            send,
            lengths,
            places,
            INT32,
            receive,
            counts([2] * n),
            places,
            INT32,
            comm,
            world.stream,
        )
    elif what == "message":
        if world.rank == 0:
            code = world.send(comm, send, 4, INT32, n - 1)
        elif odd:
            code = world.receive(comm, receive, 5, INT32, 0)
        else:
            code = lib.HcclBarrier(comm, world.stream)
    else:
        raise ValueError(what)
    assert code == SUCCESS, world.error()
    return _verdict(world, comm)


def _verdict(world: World, comm: c_void_p) -> list[Any]:
    waited = world.wait()
    text = world.error()
    end = time.monotonic() + 60
    while (error := world.async_error(comm)) == SUCCESS and time.monotonic() < end:
        time.sleep(0.01)
    later = world.hccl.HcclBarrier(comm, world.stream)
    world.destroy(comm)
    return [waited, text, error, later]


def rank_dies(world: World, calls: int) -> list[Any]:
    """Calls until something fails; the fault plan says who dies when."""
    comm = world.join()
    buffer = world.put(np.ones(4, np.int32))
    for done in range(calls):
        code = world.all_reduce(comm, buffer, buffer, 4, INT32)
        if code != SUCCESS:
            return [done, code, world.error(), world.async_error(comm)]
        waited = world.wait()
        if waited != 0:
            return [done, waited, world.error(), world.async_error(comm)]
    world.destroy(comm)
    return [calls, 0, "", 0]


def dies_unnoticed(world: World) -> int:
    """Rank 1 is killed while the others are idle: the communicator tells them."""
    comm = world.join()
    world.meet("joined")
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    end = time.monotonic() + 60
    while (error := world.async_error(comm)) == SUCCESS and time.monotonic() < end:
        time.sleep(0.01)
    return error


def leaves_early(world: World, how: str) -> list[Any]:
    """Rank 1 leaves in an orderly way after one call; the others go on."""
    comm = world.join()
    buffer = world.put(np.ones(4, np.int32))
    assert world.all_reduce(comm, buffer, buffer, 4, INT32) == SUCCESS
    if world.rank == 1:
        assert world.wait() == 0, world.error()
        if how == "destroy":
            world.destroy(comm)
        return []
    assert world.wait() == 0, world.error()
    time.sleep(0.5)
    idle = world.async_error(comm)
    code = world.all_reduce(comm, buffer, buffer, 4, INT32)
    waited = world.wait() if code == SUCCESS else code
    return [idle, waited, world.error(), world.async_error(comm)]


def bad_address(world: World) -> list[Any]:
    """One rank's buffer was freed: it fails, and so do the others."""
    comm = world.join()
    buffer = world.put(np.ones(4, np.int32))
    if world.rank == 1:
        world.free(buffer)
    assert world.all_reduce(comm, buffer, buffer, 4, INT32) == SUCCESS
    return _verdict(world, comm)


def destroyed_while_waiting(world: World) -> list[Any]:
    """HcclCommDestroy ends a call that no other rank will ever meet."""
    comm = world.join()
    if world.rank != 0:
        world.told("destroyed")
        world.destroy(comm)
        return []
    buffer = world.put(np.ones(4, np.int32))
    assert world.all_reduce(comm, buffer, buffer, 4, INT32) == SUCCESS
    world.destroy(comm)
    waited = world.wait()
    text = world.error()
    world.tell("destroyed")
    gone = world.hccl.HcclBarrier(comm, world.stream)
    return [waited, text, gone, world.error()]


def init(world: World, what: str) -> list[Any]:
    """Ranks that do not fit together, and arguments that mean nothing."""
    comm = c_void_p()
    info = world.root_info()
    rank, ranks, config = world.rank, world.ranks, Config.made()
    if what == "missing" and rank == 1:
        world.told("missed")
        return []
    if what == "twice":
        rank = 0
    if what == "number" and rank == 1:
        ranks += 1
    if what == "name":
        config.name = f"name-{rank}".encode()
    if what == "garbage":
        info = (ctypes.c_char * ROOT_INFO_BYTES)(*b"no root info")
    if what == "rank":
        rank += ranks
    if what == "config":
        config.magic = 7
    if what == "algorithm":
        ctypes.memset(ctypes.addressof(config) + Config.algorithm.offset, ord("x"), 1600)
    if what == "buffer":
        config.buffer_size = 0
    code = world.hccl.HcclCommInitRootInfoConfig(
        c_uint32(ranks), byref(info), c_uint32(rank), byref(config), byref(comm)
    )
    text = world.error()
    if what == "missing":
        world.tell("missed")
    return [code, text]


def handles(world: World) -> list[int]:
    """Handles and pointers that are none."""
    comm, lib = world.join(), world.hccl
    room = world.room(64)
    codes = [
        lib.HcclBarrier(None, world.stream),
        lib.HcclBarrier(c_void_p(0x1234), world.stream),
        lib.HcclBarrier(comm, c_void_p(0x1234)),
        world.all_reduce(comm, None, room, 4, INT32),  # type: ignore[arg-type]
        world.all_reduce(comm, room, room, 4, 99),
        world.all_reduce(comm, room, room, 4, INT32, 9),
        lib.HcclBroadcast(room, c_uint64(1), INT32, c_uint32(9), comm, world.stream),
        world.send(comm, room, 1, INT32, 9),
        world.send(comm, room, 1, INT32, world.rank),
        lib.HcclGetRankSize(comm, None),
        lib.HcclGetRootInfo(None),
        world.hccl.HcclCommDestroy(c_void_p(0x1234)),
    ]
    total = world.put(np.array([1], np.int32))
    assert world.all_reduce(comm, total, total, 1, INT32) == SUCCESS  # none of it did any harm
    assert world.wait() == 0, world.error()
    assert world.get(total, 1, np.int32).tolist() == [world.ranks]
    world.destroy(comm)
    return codes


def strict(world: World) -> dict[str, list[Any]]:
    """What strict mode refuses, each with the call's code and text."""
    comm, lib = world.join(), world.hccl
    room, other = world.room(256), world.room(256)
    host = (ctypes.c_char * 256)()
    odd = c_void_p((room.value or 0) + 1)
    results = {}

    def refused(name: str, code: int) -> None:
        results[name] = [code, world.error() if code else ""]

    for kind, (number, _) in TYPES.items():
        refused(f"sum {kind}", world.all_reduce(comm, room, other, 0, number))
        refused(f"prod {kind}", world.all_reduce(comm, room, other, 0, number, 1))
        refused(
            f"scatter v {kind}",
            lib.HcclReduceScatterV(
                room,
                counts([0] * world.ranks),
                counts([0] * world.ranks),
                other,
                c_uint64(0),
                number,
                0,
                comm,
                world.stream,
            ),
        )
        refused(
            f"gather {kind}",
            lib.HcclAllGather(room, other, c_uint64(0), number, comm, world.stream),
        )
        refused(
            f"broadcast {kind}",
            lib.HcclBroadcast(room, c_uint64(0), number, c_uint32(0), comm, world.stream),
        )
    refused("unaligned", world.all_reduce(comm, odd, room, 1, INT32))
    refused("host", world.all_reduce(comm, ctypes.cast(host, c_void_p), room, 1, INT32))
    refused(
        "same",
        lib.HcclAlltoAll(room, c_uint64(1), INT32, room, c_uint64(1), INT32, comm, world.stream),
    )
    peer = 1 - world.rank
    refused(
        "two messages", world.batch(comm, [(0, room, 1, INT32, peer), (0, other, 1, INT32, peer)])
    )
    world._ok(world.acl.aclrtSetDevice(1 - world.rank))
    foreign = world.new_stream()
    refused("stream", world.all_reduce(comm, room, other, 1, INT32, stream=foreign))
    world._ok(world.acl.aclrtSetDevice(world.rank))
    assert world.wait() == 0, world.error()
    world.destroy(comm)
    return results


def planned(world: World) -> list[Any]:
    """The second call of rank 1 fails, at once or on its stream: see the fault plan."""
    comm = world.join()
    buffer = world.put(np.ones(4, np.int32))
    codes = [world.all_reduce(comm, buffer, buffer, 4, INT32) for _ in range(2)]
    waited = world.wait()
    text = world.error()
    return [codes, waited, text]


def after_fork(world: World) -> list[Any]:
    """A forked child may not use the communicator, and its parent's death is seen all the same."""
    comm = world.join()
    world.meet("joined")
    child = os.fork()
    if child == 0:
        try:
            code = world.hccl.HcclBarrier(comm, world.stream)
            world.tell(f"forked-{world.rank}", f"{code} {world.error()}".encode())
            if world.rank == 0:
                ctypes.CDLL(None).exit(0)  # runs what libhccl registered for the end
            world.told("seen")  # outlives its parent
        finally:
            os._exit(0)
    text = world.told(f"forked-{world.rank}").decode()
    if world.rank == 1:
        world.told("forked-0")
        os.kill(os.getpid(), signal.SIGKILL)
    _, ended = os.waitpid(child, 0)
    end = time.monotonic() + 60
    while (error := world.async_error(comm)) != REMOTE and time.monotonic() < end:
        time.sleep(0.01)
    world.tell("seen")
    return [text, error, ended]


def messages_of(world: World) -> list[str]:
    """HcclGetErrorString of every code."""
    world.hccl.HcclGetErrorString.restype = c_char_p
    return [world.hccl.HcclGetErrorString(code).decode() for code in range(26)]
