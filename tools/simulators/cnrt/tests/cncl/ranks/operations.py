"""Every operation against a direct computation; each rank checks its own results."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_size_t, c_uint32, c_void_p
from typing import Any

import numpy as np
from abi import INT32, TYPES, Place, World

from accel_sim.testing.arithmetic import Array, inputs, reduced

OPERATIONS = ("sum", "prod", "max", "min")


class Case:
    """One type and size: what every rank brings, and calls to compare at the end."""

    def __init__(self, world: World, comm: c_void_p, kind: str, size: int, salt: int) -> None:
        self.world, self.comm, self.kind, self.size = world, comm, kind, size
        self.number = TYPES[kind][0]
        self.root = salt % world.ranks
        self.whole = [inputs(kind, r, size * world.ranks, salt) for r in range(world.ranks)]
        self.part = [values[:size] for values in self.whole]
        self.results: list[tuple[str, c_void_p, Array]] = []

    def call(self, name: str, receive: c_void_p, expected: Array, *arguments: Any) -> None:
        """``arguments`` come before the communicator and the queue."""
        function = getattr(self.world.cncl, f"cncl{name}")
        self.world.ok(function(*arguments, self.comm, self.world.here.queue))
        self.results.append((name, receive, expected))

    def check(self) -> None:
        here = self.world.here
        assert here.wait() == 0, self.world.text(self.world.state(self.comm))
        for name, pointer, expected in self.results:
            found = here.get(pointer, len(expected), expected.dtype)
            what = (name, self.kind, self.size, self.world.rank)
            assert found.tobytes() == expected.tobytes(), (what, found[:8], expected[:8])


def reductions(world: World, types: list[str], sizes: list[int]) -> int:
    """AllReduce, in place too, Reduce and ReduceScatter; returns how many results were compared."""
    comm, here, me = world.join(), world.here, world.rank
    compared = 0
    for salt, (kind, size) in enumerate((kind, size) for kind in types for size in sizes):
        for op, name in enumerate(OPERATIONS):
            case = Case(world, comm, kind, size, 10 * salt + op)
            count, how = c_size_t(size), (case.number, op)
            expected = reduced(kind, name, case.part)
            send, receive = here.put(case.part[me]), here.room(expected.nbytes)
            both, at_root = here.put(case.part[me]), here.room(expected.nbytes)
            untouched = np.full(expected.nbytes, 0xA5, np.uint8)
            case.call("AllReduce", receive, expected, send, receive, count, *how)
            case.call("AllReduce", both, expected, both, both, count, *how)
            root = expected if me == case.root else untouched
            case.call("Reduce", at_root, root, send, at_root, count, *how, case.root)
            piece, wide = here.room(expected.nbytes), here.put(case.whole[me])
            mine = reduced(kind, name, case.whole)[me * size : (me + 1) * size]
            case.call("ReduceScatter", piece, mine, wide, piece, count, *how)
            case.check()
            compared += len(case.results)
    world.free(comm)
    return compared


def movements(world: World, types: list[str], sizes: list[int]) -> int:
    """Broadcast, Bcast, AllGather, AlltoAll and AlltoAllv; returns how many were compared."""
    comm, here, me, n = world.join(), world.here, world.rank, world.ranks
    compared = 0
    for salt, (kind, size) in enumerate((kind, size) for kind in types for size in sizes):
        case = Case(world, comm, kind, size, salt)
        count, number = c_size_t(size), case.number
        item = case.part[me].itemsize
        wide, one = here.put(case.whole[me]), here.put(case.part[me])
        shared, into = here.put(case.part[me]), here.room(size * item)
        given = one if me == case.root else None
        expected = case.part[case.root]
        case.call("Bcast", shared, expected, shared, count, number, case.root)
        case.call("Broadcast", into, expected, given, into, count, number, case.root)
        gathered, turned = here.room(n * size * item), here.room(n * size * item)
        case.call("AllGather", gathered, np.concatenate(case.part), one, gathered, count, number)
        cut = [values[me * size : (me + 1) * size] for values in case.whole]
        case.call("AlltoAll", turned, np.concatenate(cut), wide, turned, count, number)
        uneven(case, wide)
        case.check()
        compared += len(case.results)
    world.free(comm)
    return compared


def uneven(case: Case, wide: c_void_p) -> None:
    """Rank i sends min(size, i + j) elements to rank j, from anywhere to anywhere."""
    n, me, size = case.world.ranks, case.world.rank, case.size
    item = case.part[me].itemsize
    assert wide.value is not None
    sent = [min(size, me + j) for j in range(n)]
    received = [min(size, i + me) for i in range(n)]
    targets = [case.world.here.room(size * item) for _ in range(n)]
    types = (c_int * n)(*[case.number] * n)
    case.world.ok(
        case.world.cncl.cnclAlltoAllv(
            (c_void_p * n)(*[wide.value + j * size * item for j in range(n)]),
            (c_uint32 * n)(*sent),
            types,
            (c_void_p * n)(*targets),
            (c_uint32 * n)(*received),
            types,
            case.comm,
            case.world.here.queue,
        )
    )
    for i in range(n):
        expected = case.whole[i][me * size : me * size + received[i]]
        case.results.append((f"AlltoAllv from {i}", targets[i], expected))


def one_process(world: World, devices: int) -> list[list[int]]:
    """All ranks of a clique in this process, without an identifier; in the order 2, 0, 1, ..."""
    order = [2, 0, 1, *range(3, devices)]
    code, comms = world.init([rank % 4 for rank in order], order, devices, None)
    world.ok(code)
    places = [Place(world.cnrt, rank % 4) for rank in order]
    return _sum_and_ask(world, comms, places, order)


def two_each(world: World) -> list[list[int]]:
    """Every process has two devices, and a rank on each."""
    order = [2 * world.rank, 2 * world.rank + 1]
    code, comms = world.init(order, order, 2 * world.ranks, world.clique())
    world.ok(code)
    return _sum_and_ask(world, comms, [Place(world.cnrt, device) for device in order], order)


def _sum_and_ask(
    world: World, comms: list[c_void_p], places: list[Place], order: list[int]
) -> list[list[int]]:
    buffers = [
        place.put(np.array([10 + rank], np.int32))
        for place, rank in zip(places, order, strict=True)
    ]
    for comm, place, buffer in zip(comms, places, buffers, strict=True):
        place.enter()
        world.ok(world.all_reduce(comm, buffer, buffer, 1, INT32, at=place))
    told = []
    for comm, place, buffer in zip(comms, places, buffers, strict=True):
        assert place.wait() == 0
        asked = []
        for name in ("Count", "Rank", "Device"):
            answer = c_int(-1)
            get: Callable[..., int] = getattr(world.cncl, f"cnclGetComm{name}")
            world.ok(get(ctypes.byref(answer), comm))
            asked.append(answer.value)
        told.append([int(place.get(buffer, 1, np.int32)[0]), *asked])
    all_comms = (c_void_p * len(comms))(*comms)
    world.ok(world.cncl.cnclDestroyComms(all_comms, len(comms)))
    return told
