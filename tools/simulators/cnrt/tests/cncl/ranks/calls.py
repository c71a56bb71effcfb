"""Calls that do not match, ranks that go away, arguments that are refused, and how calls wait."""

from __future__ import annotations

import os
import signal
import threading
import time
from ctypes import byref, c_int, c_size_t, c_void_p
from typing import Any

import numpy as np
from abi import ASYNC_ERROR, FLOAT32, INT32, SUCCESS, TYPES, CliqueId, Place, World

FLOAT64, AVERAGE = 0x13, 4


def _settled(world: World, comm: c_void_p) -> int:
    """cnclGetCommAsyncError, once it says anything but that all is well."""
    end = time.monotonic() + 60
    while (state := world.state(comm)) == SUCCESS and time.monotonic() < end:
        time.sleep(0.01)
    return state


def mismatched(world: World, what: str) -> list[Any]:
    """The last rank calls something else than the others."""
    comm, lib, queue = world.join(), world.cncl, world.here.queue
    odd = world.rank == world.ranks - 1
    send, receive = world.here.room(256), world.here.room(256)
    count = c_size_t(8 if odd and what == "count" else 4)
    kind = FLOAT32 if odd and what == "type" else INT32
    op = 2 if odd and what == "op" else 0
    if what == "root":
        code = lib.cnclBcast(send, count, kind, int(odd), comm, queue)
    elif what == "operation" and odd:
        code = lib.cnclAllGather(send, receive, count, kind, comm, queue)
    else:
        code = lib.cnclAllReduce(send, receive, count, kind, op, comm, queue)
    world.ok(code)
    waited, state = world.here.wait(), _settled(world, comm)
    text = world.text(ASYNC_ERROR)
    later = world.all_reduce(comm, send, receive, 4)
    world.free(comm)
    return [waited, state, text, later]


def rank_dies(world: World, calls: int) -> list[Any]:
    """Calls until something fails; the fault plan says who dies when."""
    comm = world.join()
    buffer = world.here.put(np.ones(4, np.int32))
    for done in range(calls):
        # A rank that is slow hears of the death before its call, which then fails by itself.
        code = world.all_reduce(comm, buffer, buffer, 4)
        if code != SUCCESS or world.here.wait() != SUCCESS:
            state = _settled(world, comm)
            return [done, state, world.text(state)]
    return [calls, 0, ""]


def dies_unnoticed(world: World) -> int:
    """Rank 1 is killed while the others are idle: the communicator tells them."""
    comm = world.join()
    world.meet("joined")
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return _settled(world, comm)


def aborted(world: World) -> list[Any]:
    """Rank 0 aborts a call that nobody meets; its queue is of use afterwards, and so is another
    communicator."""
    comm, other = world.join(), world.join("other")
    buffer = world.here.put(np.full(4, world.rank, np.int32))
    found: list[Any] = []
    if world.rank == 0:
        world.ok(world.all_reduce(comm, buffer, buffer, 4))
        time.sleep(0.2)
        found = [world.here.busy(), world.state(comm)]
        world.ok(world.cncl.cnclAbortComm(comm))
        found += [world.here.wait(), world.state(comm)]
    else:
        found = [_settled(world, comm), world.text(ASYNC_ERROR)]
        world.free(comm)
    world.ok(world.all_reduce(other, buffer, buffer, 4))
    assert world.here.wait() == 0
    world.free(other)
    return [*found, world.here.get(buffer, 4, np.int32).tolist()]


def refused(world: World) -> dict[str, list[Any]]:
    """Calls that fail at once, alike on all ranks, and leave the communicator as it was."""
    comm, lib, queue = world.join(), world.cncl, world.here.queue
    one = world.here.put(np.ones(16, np.float32))
    host = np.ones(16, np.float32).ctypes.data_as(c_void_p)
    n = c_size_t(4)
    unaligned = c_void_p((one.value or 0) + 2)
    calls = {
        "double": lib.cnclAllReduce(one, one, n, FLOAT64, 0, comm, queue),
        "average": lib.cnclAllReduce(one, one, n, FLOAT32, AVERAGE, comm, queue),
        "root": lib.cnclBcast(one, n, FLOAT32, world.ranks, comm, queue),
        "negative root": lib.cnclBcast(one, n, FLOAT32, -1, comm, queue),
        "null": lib.cnclAllReduce(None, one, n, FLOAT32, 0, comm, queue),
        "peer": lib.cnclSend(one, n, FLOAT32, world.ranks, comm, queue),
        "itself": lib.cnclSend(one, n, FLOAT32, world.rank, comm, queue),
        "no communicator": lib.cnclAllReduce(one, one, n, FLOAT32, 0, None, queue),
        "group end": lib.cnclGroupEnd(),
        "host": lib.cnclAllReduce(host, one, n, FLOAT32, 0, comm, queue),
        "unaligned": lib.cnclAllReduce(unaligned, one, n, FLOAT32, 0, comm, queue),
        "same": lib.cnclAlltoAll(one, one, n, FLOAT32, comm, queue),
    }
    texts = {}
    for what, code in calls.items():
        texts[what] = [code, ""]
    for what in ("double", "average", "host"):  # again, for their texts
        kind = FLOAT64 if what == "double" else FLOAT32
        code = lib.cnclAllReduce(
            host if what == "host" else one,
            one,
            n,
            kind,
            AVERAGE * (what == "average"),
            comm,
            queue,
        )
        texts[what][1] = world.text(code)
    buffer = world.here.put(np.ones(4, np.int32))
    world.ok(world.all_reduce(comm, buffer, buffer, 4))
    assert world.here.wait() == 0
    texts["still works"] = world.here.get(buffer, 4, np.int32).tolist()
    world.free(comm)
    texts["freed"] = [lib.cnclFreeComm(comm), world.state(comm)]
    return texts


def planned(world: World) -> list[Any]:
    """Two calls; the fault plan fails the second at once, or on its queue."""
    comm = world.join()
    buffer = world.here.put(np.ones(4, np.int32))
    codes = [world.all_reduce(comm, buffer, buffer, 4) for _ in range(2)]
    waited = world.here.wait()
    world.free(comm)
    return [codes, waited]


def init(world: World, what: str) -> list[Any]:
    """cnclInitComms as it must not be called; its code and what is said of it."""
    clique: CliqueId | None = world.clique()
    devices, members, size = [world.rank], [world.rank], world.ranks
    if what == "twice":
        members = [0]
    elif what == "rank":
        members = [size]
    elif what == "device":
        devices = [64]
    elif what == "garbage":
        clique = CliqueId(b"nonsense", 5)
    elif what == "alone":
        clique = None
    elif what == "number":
        size += world.rank
    elif what == "missing" and world.rank == 1:
        return [None, ""]
    code, _ = world.init(devices, members, size, clique)
    return [code, world.text(code)]


def waits(world: World) -> list[Any]:
    """Rank 0 calls while rank 1 has not: the call returns and the queue is busy, for a collective
    and for a send, which ends when it is taken."""
    comm = world.join()
    buffer = world.here.put(np.array([world.rank + 1], np.int32))
    found = []
    for step in ("collective", "send"):
        if world.rank == 1:
            world.told(step)
        if step == "collective":
            world.ok(world.all_reduce(comm, buffer, buffer, 1))
        else:
            world.ok(world.message(comm, world.rank == 0, buffer, 1, 1 - world.rank))
        if world.rank == 0:
            time.sleep(0.2)
            found += [world.here.busy(), hex(world.state(comm))]
            world.tell(step)
        assert world.here.wait() == 0
    world.free(comm)
    return [*found, int(world.here.get(buffer, 1, np.int32)[0])]


def grouped(world: World) -> list[list[int]]:
    """Both ranks send first and receive then, in a group, to themselves too: no deadlock."""
    comm, lib = world.join(), world.cncl
    out, into = world.here.put(np.full(4, 5 + world.rank, np.int32)), world.here.room(16)
    own, both = world.here.room(16), world.here.put(np.ones(2, np.int32))
    world.ok(lib.cnclGroupStart())
    world.ok(lib.cnclGroupStart())
    world.ok(world.message(comm, True, out, 4, 1 - world.rank))
    world.ok(world.message(comm, True, out, 4, world.rank))
    world.ok(lib.cnclGroupEnd())
    world.ok(world.all_reduce(comm, both, both, 2))
    world.ok(world.message(comm, False, into, 4, 1 - world.rank))
    world.ok(world.message(comm, False, own, 4, world.rank))
    quiet = not world.here.busy()  # nothing is on the queue before the outer end
    world.ok(lib.cnclGroupEnd())
    assert world.here.wait() == 0
    world.free(comm)
    found = [world.here.get(pointer, 2, np.int32).tolist() for pointer in (into, own, both)]
    return [*found, [int(quiet)]]


def threads(world: World) -> list[int]:
    """Two ranks that are threads of this process: each makes its communicator and calls."""
    clique, sums = world.clique(), [0, 0]

    def member(rank: int) -> None:
        code, comms = world.init([rank], [rank], 2, clique)
        world.ok(code)
        place = Place(world.cnrt, rank)
        buffer = place.put(np.array([rank + 1], np.int32))
        for _ in range(3):
            world.ok(world.all_reduce(comms[0], buffer, buffer, 1, at=place))
        assert place.wait() == 0
        sums[rank] = int(place.get(buffer, 1, np.int32)[0])
        world.free(comms[0])

    both = [threading.Thread(target=member, args=(rank,)) for rank in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    return sums


def version(world: World) -> list[Any]:
    numbers = [c_int() for _ in range(3)]
    world.ok(world.cncl.cnclGetLibVersion(*map(byref, numbers)))
    return [[number.value for number in numbers], world.text(SUCCESS), sorted(TYPES)]
