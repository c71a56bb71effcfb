"""Other ways to a communicator, what it tells of itself, and that it leaves nothing behind."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from ctypes import byref, c_char, c_int, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from abi import NOT_SUPPORT, SUCCESS, TYPES, Config, World

INT32 = TYPES["int32"][0]


def total(world: World, comm: c_void_p, value: int) -> int:
    buffer = world.put(np.array([value], np.int32))
    assert world.all_reduce(comm, buffer, buffer, 1, INT32) == SUCCESS, world.error()
    assert world.wait() == 0, world.error()
    result = int(world.get(buffer, 1, np.int32)[0])
    world.free(buffer)
    return result


def name_of(world: World, comm: c_void_p) -> str:
    text = (c_char * 128)()
    assert world.hccl.HcclGetCommName(comm, text) == SUCCESS
    return text.value.decode()


def sub_communicators(world: World) -> list[Any]:
    """The even and the odd ranks, twice over with the same number, and a reversed whole."""
    comm = world.join()
    results: list[Any] = []
    members = [rank for rank in range(world.ranks) if rank % 2 == world.rank % 2]
    for attempt in range(2):
        sub = make_sub(world, comm, members, 5 + world.rank % 2)
        results.append(total(world, sub, 10**world.rank))
        if attempt == 1:
            results.append(name_of(world, sub))
        world.destroy(sub)
    turned = make_sub(world, comm, list(reversed(range(world.ranks))), 99)
    rank = c_uint32()
    assert world.hccl.HcclGetRankId(turned, byref(rank)) == SUCCESS
    results += [rank.value, total(world, turned, 1)]
    world.destroy(turned)
    none = c_void_p(1)
    code = world.hccl.HcclCreateSubCommConfig(
        byref(comm), c_uint32(0), None, c_uint64(0xFFFFFFFF), c_uint32(0), None, byref(none)
    )
    results += [code, none.value]
    world.destroy(comm)
    return results


def make_sub(world: World, comm: c_void_p, members: list[int], number: int) -> c_void_p:
    sub = c_void_p()
    config = Config.made()
    config.name = f"sub-{number}".encode()
    code = world.hccl.HcclCreateSubCommConfig(
        byref(comm),
        c_uint32(len(members)),
        (c_uint32 * len(members))(*members),
        c_uint64(number),
        c_uint32(members.index(world.rank)),
        byref(config),
        byref(sub),
    )
    assert code == SUCCESS, (code, world.error())
    return sub


def rank_table(world: World) -> list[int]:
    """By a file that lists the ranks, two communicators of the same table."""
    devices = [{"device_id": str(r), "rank_id": str(r)} for r in range(world.ranks)]
    table = {"version": "1.0", "server_list": [{"server_id": "here", "device": devices}]}
    path = world.folder / "table.json"
    if world.rank == 0:
        world.tell("table.json", json.dumps(table).encode())
    world.told("table.json")
    results = []
    for _ in range(2):
        comm = c_void_p()
        code = world.hccl.HcclCommInitClusterInfoConfig(
            str(path).encode(), c_uint32(world.rank), None, byref(comm)
        )
        assert code == SUCCESS, (code, world.error())
        results.append(total(world, comm, world.rank + 1))
        world.destroy(comm)
    return results


def threads_of_one_process(world: World, ranks: int) -> list[int]:
    """Each rank is a thread with a device of its own."""
    info = world.root_info()
    results = [0] * ranks

    def run(rank: int) -> None:
        world._ok(world.acl.aclrtSetDevice(rank))
        comm = c_void_p()
        code = world.hccl.HcclCommInitRootInfo(
            c_uint32(ranks), byref(info), c_uint32(rank), byref(comm)
        )
        assert code == SUCCESS, (code, world.error())
        stream = world.new_stream()
        buffer = world.put(np.array([rank + 1], np.int32))
        assert world.all_reduce(comm, buffer, buffer, 1, INT32, stream=stream) == SUCCESS
        assert world.wait(stream) == 0, world.error()
        results[rank] = int(world.get(buffer, 1, np.int32)[0])
        world.destroy(comm)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def leaves_nothing(world: World) -> list[int]:
    """File descriptors, threads, and addresses of ours, before and after communicators."""
    comm = world.join(name="first")
    total(world, comm, 1)  # starts what stays: the stream's thread
    world.destroy(comm)
    before = held()
    for attempt in range(3):
        comm = world.join(name=f"root-{attempt}")
        total(world, comm, 1)
        world.destroy(comm)
    world.meet("destroyed")
    return [before[0], held()[0], before[1], held()[1], addresses()]


def held() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def addresses() -> int:
    own = f"accel-sim-ranks-{os.getpid()}-"
    return sum(own in line for line in Path("/proc/net/unix").read_text().splitlines())


def settings(world: World) -> dict[str, Any]:
    """Names, settings, and registered memory."""
    config = Config.made()
    config.name = b"my communicator"
    comm, lib = world.join(config), world.hccl
    results: dict[str, Any] = {"name": name_of(world, comm)}
    results["set"] = lib.HcclSetConfig(0, c_int(1))
    value = c_int()
    results["get"] = [lib.HcclGetConfig(0, byref(value)), value.value]
    results["unknown"] = lib.HcclSetConfig(7, c_int(1))
    base = world.room(1 << 16)
    inside = c_void_p((base.value or 0) + 4096)
    size = ctypes.c_size_t
    results["ranges"] = [
        lib.HcclCommSetMemoryRange(comm, base, size(1 << 16), size(0), c_uint64(0)),
        lib.HcclCommActivateCommMemory(comm, inside, size(4096), size(0), base, c_uint64(0)),
        lib.HcclCommActivateCommMemory(comm, inside, size(1 << 16), size(0), base, c_uint64(0)),
        lib.HcclCommDeactivateCommMemory(comm, inside),
        lib.HcclCommDeactivateCommMemory(comm, inside),
        lib.HcclCommUnsetMemoryRange(comm, base),
        lib.HcclCommUnsetMemoryRange(comm, base),
    ]
    handle = c_void_p()
    peers = (c_uint32 * 1)(1 - world.rank)
    results["windows"] = [
        lib.HcclCommRegister(comm, base, c_uint64(4096), byref(handle), c_uint32(0)),
        lib.HcclCommExchangeMem(comm, handle, peers, c_uint32(1)),
        lib.HcclCommDeregister(comm, handle),
        lib.HcclCommDeregister(comm, handle),
    ]
    results["not here"] = (
        lib.HcclCommWorkingDevNicSet(comm, peers, None, c_uint32(1)) == NOT_SUPPORT
    )
    lib.HcclCommSuspend(comm)
    results["suspended"] = [lib.HcclBarrier(comm, world.stream), world.async_error(comm)]
    world.meet("suspended")
    results["resumed"] = lib.HcclCommResume(comm)
    world.meet("resumed")
    results["works"] = total(world, comm, 1)
    world.destroy(comm)
    return results


def capability(world: World) -> int:
    """How many members of HcclCommConfig are understood."""
    number: int = world.hccl.HcclGetCommConfigCapability()
    return number
