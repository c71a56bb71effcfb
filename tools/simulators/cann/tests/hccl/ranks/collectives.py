"""Every collective against a direct computation; each rank checks its own results."""

from __future__ import annotations

from ctypes import c_uint32, c_uint64, c_void_p
from typing import Any

import numpy as np
from abi import SUCCESS, TYPES, World, counts

from accel_sim.testing.arithmetic import inputs, reduced

OPERATIONS = {"sum": 0, "prod": 1, "max": 2, "min": 3}


def check(world: World, what: Any, pointer: c_void_p, expected: Any) -> None:
    got = world.get(pointer, len(expected), expected.dtype)
    same = got.tobytes() == expected.tobytes()
    assert same, (what, world.rank, got[:8].tolist(), expected[:8].tolist())


def reductions(world: World, types: list[str], sizes: list[int]) -> int:
    """AllReduce, Reduce, ReduceScatter and ReduceScatterV of every type; returns how many."""
    comm, lib, n = world.join(), world.hccl, world.ranks
    done = 0
    for kind in types:
        number = TYPES[kind][0]
        for name, op in OPERATIONS.items():
            for size in sizes:
                done += 1
                salt = done
                mine = [inputs(kind, rank, size, salt) for rank in range(n)]
                expected = reduced(kind, name, mine)
                send, receive = world.put(mine[world.rank]), world.room(expected.nbytes)
                both = world.put(mine[world.rank])
                root = done % n
                assert world.all_reduce(comm, send, receive, size, number, op) == SUCCESS
                assert world.all_reduce(comm, both, both, size, number, op) == SUCCESS
                at_root = world.room(expected.nbytes)
                code = lib.HcclReduce(
                    send, at_root, c_uint64(size), number, op, c_uint32(root), comm, world.stream
                )
                assert code == SUCCESS, world.error()
                whole = [inputs(kind, rank, size * n, salt + 1000) for rank in range(n)]
                piece = world.room(expected.nbytes)
                wide = world.put(whole[world.rank])
                code = lib.HcclReduceScatter(
                    wide, piece, c_uint64(size), number, op, comm, world.stream
                )
                assert code == SUCCESS, world.error()
                # Uneven pieces with gaps: rank r gets r + 1 elements of what each rank sends.
                lengths = [min(size, r + 1) for r in range(n)]
                offsets = [r * size for r in range(n)]
                uneven = world.room(expected.nbytes)
                code = lib.HcclReduceScatterV(
                    wide,
                    counts(lengths),
                    counts(offsets),
                    uneven,
                    c_uint64(lengths[world.rank]),
                    number,
                    op,
                    comm,
                    world.stream,
                )
                assert code == SUCCESS, world.error()
                assert world.wait() == 0, world.error()
                what = (kind, name, size)
                check(world, what, receive, expected)
                check(world, (what, "in place"), both, expected)
                if world.rank == root:
                    check(world, (what, "reduce"), at_root, expected)
                else:  # untouched
                    check(
                        world, (what, "not root"), at_root, np.full(expected.nbytes, 0xA5, np.uint8)
                    )
                scattered = reduced(kind, name, whole)
                begin = world.rank * size
                check(world, (what, "scatter"), piece, scattered[begin : begin + size])
                check(
                    world,
                    (what, "scatter v"),
                    uneven,
                    scattered[begin : begin + lengths[world.rank]],
                )
                world.free(send, receive, both, at_root, wide, piece, uneven)
    world.destroy(comm)
    return done


def movements(world: World, types: list[str], sizes: list[int]) -> int:
    """Broadcast, Scatter, AllGather(V), AlltoAll(V, VC), Send/Recv and batches of every type."""
    comm, lib, n, me = world.join(), world.hccl, world.ranks, world.rank
    done = 0
    for kind in types:
        number = TYPES[kind][0]
        for size in sizes:
            done += 1
            root = done % n
            whole = [inputs(kind, rank, size * n, done) for rank in range(n)]
            part = [values[:size] for values in whole]
            wide, one = world.put(whole[me]), world.put(part[me])
            buffer = world.put(part[me])
            code = lib.HcclBroadcast(
                buffer, c_uint64(size), number, c_uint32(root), comm, world.stream
            )
            assert code == SUCCESS, world.error()
            piece = world.room(part[me].nbytes)
            source = wide if me == root else None
            code = lib.HcclScatter(
                source, piece, c_uint64(size), number, c_uint32(root), comm, world.stream
            )
            assert code == SUCCESS, world.error()
            gathered = world.room(whole[me].nbytes)
            code = lib.HcclAllGather(one, gathered, c_uint64(size), number, comm, world.stream)
            assert code == SUCCESS, world.error()
            turned = world.room(whole[me].nbytes)
            code = lib.HcclAlltoAll(
                wide, c_uint64(size), number, turned, c_uint64(size), number, comm, world.stream
            )
            assert code == SUCCESS, world.error()
            # In place: this rank's piece of the gathered buffer is the source.
            inside = world.put(
                np.concatenate([part[me] if r == me else 0 * part[r] for r in range(n)])
            )
            mine = c_void_p((inside.value or 0) + me * part[me].nbytes)
            code = lib.HcclAllGather(mine, inside, c_uint64(size), number, comm, world.stream)
            assert code == SUCCESS, world.error()
            ring = world.room(part[me].nbytes)
            right, left = (me + 1) % n, (me - 1) % n
            assert (
                world.batch(comm, [(0, one, size, number, right), (1, ring, size, number, left)])
                == SUCCESS
            ), world.error()
            pair = world.room(part[me].nbytes)
            if me == 0:
                assert world.send(comm, one, size, number, n - 1) == SUCCESS
            elif me == n - 1:
                assert world.receive(comm, pair, size, number, 0) == SUCCESS
            assert world.wait() == 0, world.error()
            what = (kind, size)
            check(world, (what, "broadcast"), buffer, part[root])
            check(world, (what, "scatter"), piece, whole[root][me * size : (me + 1) * size])
            check(world, (what, "all gather"), gathered, np.concatenate(part))
            check(world, (what, "in place"), inside, np.concatenate(part))
            check(
                world,
                (what, "all to all"),
                turned,
                np.concatenate([values[me * size : (me + 1) * size] for values in whole]),
            )
            check(world, (what, "ring"), ring, part[left])
            if me == n - 1:
                check(world, (what, "send"), pair, part[0])
            world.free(wide, one, buffer, piece, gathered, turned, inside, ring, pair)
    done += uneven(world, comm)
    assert lib.HcclBarrier(comm, world.stream) == SUCCESS
    assert world.wait() == 0
    world.destroy(comm)
    return done


def uneven(world: World, comm: c_void_p) -> int:
    """The operations whose ranks have different amounts, some of them none."""
    lib, n, me = world.hccl, world.ranks, world.rank
    number = TYPES["int32"][0]
    # What rank i sends to rank j, and where: pieces lie in reverse order with a gap between them.
    matrix = [[(3 * i + 5 * j) % 4 for j in range(n)] for i in range(n)]
    data = [inputs("int32", rank, 64, 77) for rank in range(n)]

    def offset(i: int, j: int) -> int:
        return (n - 1 - j) * 6

    send, receive = world.put(data[me]), world.put(np.full(64, -1, np.int32))
    code = lib.HcclAlltoAllV(
        send,
        counts(matrix[me]),
        counts([offset(me, j) for j in range(n)]),
        number,
        receive,
        counts([matrix[i][me] for i in range(n)]),
        counts([i * 7 for i in range(n)]),
        number,
        comm,
        world.stream,
    )
    assert code == SUCCESS, world.error()
    packed = world.put(np.full(64, -1, np.int32))
    code = lib.HcclAlltoAllVC(
        send,
        counts([value for row in matrix for value in row]),
        number,
        packed,
        number,
        comm,
        world.stream,
    )
    assert code == SUCCESS, world.error()
    lengths = [(2 * i + 1) % 4 for i in range(n)]
    gathered = world.put(np.full(64, -1, np.int32))
    code = lib.HcclAllGatherV(
        send,
        c_uint64(lengths[me]),
        gathered,
        counts(lengths),
        counts([5 * i for i in range(n)]),
        number,
        comm,
        world.stream,
    )
    assert code == SUCCESS, world.error()
    assert world.wait() == 0, world.error()

    expected = np.full(64, -1, np.int32)
    for i in range(n):
        for k in range(matrix[i][me]):
            expected[i * 7 + k] = data[i][offset(i, me) + k]
    check(world, "all to all v", receive, expected)
    expected, at = np.full(64, -1, np.int32), 0
    for i in range(n):
        begin = sum(matrix[i][:me])
        for k in range(matrix[i][me]):
            expected[at] = data[i][begin + k]
            at += 1
    check(world, "all to all vc", packed, expected)
    expected = np.full(64, -1, np.int32)
    for i in range(n):
        for k in range(lengths[i]):
            expected[5 * i + k] = data[i][k]
    check(world, "all gather v", gathered, expected)
    return 3


def special_values(world: World) -> list[float]:
    """NaN, infinities and float16 overflow in a sum and a maximum."""
    comm = world.join()
    rows = [[np.nan, 1.0, np.inf, 60000.0, -0.0], [1.0, np.nan, -np.inf, 60000.0, 0.0]]
    results = []
    for op in (0, 2):
        buffer = world.put(np.array(rows[world.rank % 2], np.float16))
        assert world.all_reduce(comm, buffer, buffer, 5, TYPES["float16"][0], op) == SUCCESS
        assert world.wait() == 0, world.error()
        results += [float(value) for value in world.get(buffer, 5, np.float16)]
    world.destroy(comm)
    return results


def large(world: World, megabytes: int) -> int:
    """More than any socket buffer holds, from all to all at a time; returns the calls' bytes."""
    comm, n, me = world.join(), world.ranks, world.rank
    size = megabytes << 18  # float32
    buffer = world.put(np.full(size, me + 1, np.float32))
    assert world.all_reduce(comm, buffer, buffer, size, TYPES["float32"][0]) == SUCCESS
    wide = world.put(np.repeat(np.arange(n, dtype=np.int32) + 10 * me, size // n))
    out = world.room(size * 4)
    code = world.hccl.HcclAlltoAll(
        wide, c_uint64(size // n), 2, out, c_uint64(size // n), 2, comm, world.stream
    )
    assert code == SUCCESS, world.error()
    assert world.wait() == 0, world.error()
    assert (world.get(buffer, size, np.float32) == n * (n + 1) / 2).all()
    expected = np.repeat(10 * np.arange(n, dtype=np.int32) + me, size // n)
    assert (world.get(out, size // n * n, np.int32) == expected).all()
    world.destroy(comm)
    return size * 4
