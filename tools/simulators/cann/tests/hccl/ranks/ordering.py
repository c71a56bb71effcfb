"""Asynchrony, stream order, and how sends and receives meet."""

from __future__ import annotations

import time
from ctypes import byref, c_int32, c_uint32, c_void_p
from typing import Any

import numpy as np
from abi import SUCCESS, TYPES, World

INT32 = TYPES["int32"][0]


def calls_return_at_once(world: World) -> list[int]:
    """Rank 0 calls while the others have not: its calls return, its stream is busy, and work that
    was put on the stream before and after keeps its order."""
    comm = world.join()
    buffer = world.put(np.array([world.rank + 1], np.int32))
    if world.rank != 0:
        world.told("called")
    assert world.all_reduce(comm, buffer, buffer, 1, INT32) == SUCCESS
    assert world.all_reduce(comm, buffer, buffer, 1, INT32) == SUCCESS
    busy = []
    if world.rank == 0:
        time.sleep(0.2)
        busy = [int(world.busy())]
        world.tell("called")
    assert world.wait() == 0, world.error()
    result = [int(world.get(buffer, 1, np.int32)[0])]
    world.destroy(comm)
    return busy + result


def send_waits_for_receive(world: World) -> bool:
    """A send ends on its stream when the receiver has taken it, and not before."""
    comm = world.join()
    buffer = world.put(np.full(4, 10 + world.rank, np.int32))
    waited = True
    if world.rank == 0:
        assert world.send(comm, buffer, 4, INT32, 1) == SUCCESS
        time.sleep(0.3)
        waited = world.busy()
        world.tell("receive")
    elif world.rank == 1:
        world.told("receive")
        assert world.receive(comm, buffer, 4, INT32, 0) == SUCCESS
    assert world.wait() == 0, world.error()
    if world.rank == 1:
        assert world.get(buffer, 4, np.int32).tolist() == [10] * 4
    world.destroy(comm)
    return waited


def both_send(world: World) -> list[Any]:
    """Both ranks send first: neither send can end."""
    comm = world.join()
    out, into = world.put(np.full(4, world.rank, np.int32)), world.room(16)
    peer = 1 - world.rank
    assert world.send(comm, out, 4, INT32, peer) == SUCCESS
    assert world.receive(comm, into, 4, INT32, peer) == SUCCESS
    code = world.wait()
    return [code, world.error(), world.async_error(comm)]


def grouped(world: World) -> list[int]:
    """The same in a group, which may."""
    comm = world.join()
    out, into = world.put(np.full(4, world.rank + 5, np.int32)), world.room(16)
    total = world.put(np.array([1], np.int32))
    peer = 1 - world.rank
    assert world.hccl.HcclGroupStart() == SUCCESS
    assert world.hccl.HcclGroupStart() == SUCCESS
    assert world.send(comm, out, 4, INT32, peer) == SUCCESS
    assert world.hccl.HcclGroupEnd() == SUCCESS  # the inner one submits nothing
    assert not world.busy()
    assert world.receive(comm, into, 4, INT32, peer) == SUCCESS
    assert world.all_reduce(comm, total, total, 1, INT32) == SUCCESS
    assert world.hccl.HcclGroupEnd() == SUCCESS, world.error()
    assert world.wait() == 0, world.error()
    assert world.hccl.HcclGroupEnd() != SUCCESS  # without a start
    world.destroy(comm)
    return [*world.get(into, 4, np.int32).tolist(), *world.get(total, 1, np.int32).tolist()]


def batch_meets_single(world: World) -> bool:
    """The messages of a batch do not wait for each other, whatever the peer's order is."""
    comm = world.join()
    out, into = world.put(np.full(4, world.rank, np.int32)), world.room(16)
    own = world.room(16)
    if world.rank == 0:
        items = [
            (0, out, 4, INT32, 1),
            (1, into, 4, INT32, 1),
            (0, out, 4, INT32, 0),
            (1, own, 4, INT32, 0),
        ]
        assert world.batch(comm, items) == SUCCESS, world.error()
    else:
        assert world.receive(comm, into, 4, INT32, 0) == SUCCESS
        assert world.send(comm, out, 4, INT32, 0) == SUCCESS
    assert world.wait() == 0, world.error()
    assert world.get(into, 4, np.int32).tolist() == [1 - world.rank] * 4
    if world.rank == 0:
        assert world.get(own, 4, np.int32).tolist() == [0] * 4
    world.destroy(comm)
    return True


def two_streams(world: World) -> bool:
    """Calls of one communicator on two streams match by the order of the calls, not of the streams:
    rank 1's second stream is held back."""
    comm = world.join()
    other = world.new_stream()
    first, second = (world.put(np.array([value + world.rank], np.int32)) for value in (1, 100))
    assert world.all_reduce(comm, first, first, 1, INT32) == SUCCESS
    assert world.all_reduce(comm, second, second, 1, INT32, stream=other) == SUCCESS
    assert world.wait(other) == 0, world.error()
    assert world.wait() == 0, world.error()
    n = world.ranks
    assert world.get(first, 1, np.int32).tolist() == [n + n * (n - 1) // 2]
    assert world.get(second, 1, np.int32).tolist() == [100 * n + n * (n - 1) // 2]
    world.destroy(comm)
    return True


def one_process(world: World, devices: int) -> list[list[int]]:
    """HcclCommInitAll: the ranks are devices of one process, and one thread calls for all."""
    comms = (c_void_p * devices)()
    numbers = (c_int32 * devices)(*range(devices))
    code = world.hccl.HcclCommInitAll(c_uint32(devices), numbers, comms)
    assert code == SUCCESS, world.error()
    streams, buffers = [], []
    for rank in range(devices):
        world._ok(world.acl.aclrtSetDevice(rank))
        streams.append(world.new_stream())
        buffers.append(world.put(np.array([rank + 1], np.int32)))
        size, own = c_uint32(), c_uint32()
        assert world.hccl.HcclGetRankSize(c_void_p(comms[rank]), byref(size)) == SUCCESS
        assert world.hccl.HcclGetRankId(c_void_p(comms[rank]), byref(own)) == SUCCESS
        assert (size.value, own.value) == (devices, rank)
    for rank in range(devices):
        world._ok(world.acl.aclrtSetDevice(rank))
        code = world.all_reduce(
            c_void_p(comms[rank]), buffers[rank], buffers[rank], 1, INT32, stream=streams[rank]
        )
        assert code == SUCCESS, world.error()
    for rank in range(devices):
        world._ok(world.acl.aclrtSetDevice(rank))
        assert world.wait(streams[rank]) == 0, world.error()
    results = [world.get(buffer, 1, np.int32).tolist() for buffer in buffers]
    for comm in comms:
        world.destroy(c_void_p(comm))
    return results
