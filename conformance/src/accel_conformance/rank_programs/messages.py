"""Messages between two ranks, work under way, several communicators, and streams."""

from __future__ import annotations

import gc
import itertools
import time
import weakref

import torch

from accel import Capability
from accel.providers import P2POp

from .context import FORMS, Context, SkipProgram, program

SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (1,), (), (2, 3, 4), (70_001,), (0,))


@program
def ring(ctx: Context, dtype: str) -> None:
    """Blocking send to the next rank, recv from the one before; rank 0 starts."""
    kind = getattr(torch, dtype)
    before, after = (ctx.rank - 1) % ctx.size, (ctx.rank + 1) % ctx.size
    for i, shape in enumerate(SHAPES):
        form = FORMS[i % len(FORMS)]
        mine = ctx.place(ctx.noise(ctx.rank, shape, kind, i), form)
        got = ctx.poison(shape, kind, form)
        steps = [lambda m=mine: ctx.comm.send(m.tensor, after, tag=3)]
        steps.append(lambda g=got: ctx.comm.recv(g.tensor, before, tag=3))
        for step in steps if ctx.rank == 0 else reversed(steps):
            step()
        got.expect(ctx.noise(before, shape, kind, i), f"ring {shape} {form}")
        mine.expect(ctx.noise(ctx.rank, shape, kind, i), "what was sent")


@program
def ring_at_once(ctx: Context, dtype: str) -> None:
    """isend and irecv of every rank at the same time."""
    kind = getattr(torch, dtype)
    before, after = (ctx.rank - 1) % ctx.size, (ctx.rank + 1) % ctx.size
    for i, shape in enumerate(SHAPES):
        mine = ctx.place(ctx.noise(ctx.rank, shape, kind, i), FORMS[i % len(FORMS)])
        got = ctx.poison(shape, kind, FORMS[-i % len(FORMS)])
        receiving = ctx.comm.irecv(got.tensor, before)
        sending = ctx.comm.isend(mine.tensor, after)
        receiving.wait()
        sending.wait()
        assert receiving.is_completed(), "is_completed() is false after wait()"
        got.expect(ctx.noise(before, shape, kind, i), f"ring at once {shape}")


@program
def tags(ctx: Context) -> None:
    """Messages of one pair are told apart by their tags, not by their order."""
    partner = ctx.rank ^ 1
    if partner >= ctx.size:
        return
    numbers = [5, 0, 2**15, 77]
    data = {t: ctx.noise(min(ctx.rank, partner), (11,), torch.float32, t) for t in numbers}
    if ctx.rank < partner:
        sent = [ctx.comm.isend(ctx.place(data[t]).tensor, partner, t) for t in numbers]
        for work in sent:
            work.wait()
    else:
        buffers = {t: ctx.poison((11,), torch.float32) for t in numbers}
        works = [ctx.comm.irecv(buffers[t].tensor, partner, t) for t in reversed(numbers)]
        for work in works:
            work.wait()
        for t in numbers:
            buffers[t].expect(data[t], f"tag {t}")


@program
def same_tag_in_order(ctx: Context) -> None:
    """Messages of one pair with the same tag arrive in the order in which they were sent."""
    partner = ctx.rank ^ 1
    if partner >= ctx.size:
        return
    first = min(ctx.rank, partner)
    for i in range(20):
        want = ctx.noise(first, (i + 1,), torch.int32, i)
        if ctx.rank == first:
            ctx.comm.send(ctx.place(want).tensor, partner)
        else:
            got = ctx.poison((i + 1,), torch.int32)
            ctx.comm.recv(got.tensor, partner)
            got.expect(want, f"message {i}")


@program
def batch(ctx: Context, dtype: str) -> None:
    """Everyone to everyone, twice, with tags, the legs in another order on each rank."""
    kind = getattr(torch, dtype)
    peers = [p for p in range(ctx.size) if p != ctx.rank]
    for shape in ((4, 3), (1,), (20_000,)):
        expected, ops = [], []
        for peer, tag in itertools.product(peers, (1, 2)):
            form = FORMS[(peer + tag) % len(FORMS)]
            mine = ctx.place(ctx.noise(ctx.rank, shape, kind, peer, tag, shape), form)
            got = ctx.poison(shape, kind, form)
            expected.append((got, ctx.noise(peer, shape, kind, ctx.rank, tag, shape)))
            ops += [P2POp("send", mine.tensor, peer, tag), P2POp("recv", got.tensor, peer, tag)]
        order = torch.randperm(len(ops), generator=ctx.generator(ctx.rank, "order"))
        ctx.comm.batch([ops[i] for i in order.tolist()]).wait()
        for got, want in expected:
            got.expect(want, f"batch of {shape}")
    ctx.comm.batch([]).wait()


@program
def async_in_any_order(ctx: Context) -> None:
    """Several collectives under way at once, waited for in reverse, twice each."""
    buffers, works = [], []
    for i in range(6):
        buffers.append(ctx.place(torch.full((1000 * i + 1,), float(ctx.rank + i))))
        works.append(ctx.comm.all_reduce(buffers[-1].tensor, async_op=True))
    for i in reversed(range(6)):
        work = works[i]
        assert work is not None
        work.wait()
        work.wait(5.0)
        assert work.is_completed(), "is_completed() is false after wait()"
        total = float(sum(r + i for r in range(ctx.size)))
        buffers[i].expect(torch.full((1000 * i + 1,), total), f"all_reduce {i}")


@program
def async_then_blocking(ctx: Context) -> None:
    """A blocking collective behind asynchronous ones keeps the order of the program."""
    a, b = ctx.place(torch.full((5000,), 1.0)), ctx.place(torch.full((7,), float(ctx.rank)))
    work = ctx.comm.all_reduce(a.tensor, async_op=True)
    ctx.comm.broadcast(b.tensor, ctx.size - 1)
    b.expect(torch.full((7,), float(ctx.size - 1)), "broadcast behind an all_reduce")
    assert work is not None
    work.wait()
    a.expect(torch.full((5000,), float(ctx.size)), "all_reduce")


@program
def completes_without_wait(ctx: Context) -> None:
    """An operation makes progress by itself; is_completed() says when it is done."""
    mine = ctx.place(torch.full((100,), 2.0))
    work = ctx.comm.all_reduce(mine.tensor, async_op=True)
    assert work is not None
    end = time.monotonic() + 10
    while not work.is_completed():
        assert time.monotonic() < end, "is_completed() stayed false for 10 s"
        time.sleep(0.001)
    work.wait()
    mine.expect(torch.full((100,), 2.0 * ctx.size), "all_reduce")


@program
def tensors_are_kept(ctx: Context) -> None:
    """The tensors of an operation under way may be dropped by the caller."""
    for _ in range(3):
        ours = torch.full((50_000,), float(ctx.rank), device=ctx.device)
        theirs = torch.empty((ctx.size, 50_000), device=ctx.device)
        kept = theirs.view(-1)  # shares the memory, so that it can be looked at
        work = ctx.comm.all_gather(theirs, ours, async_op=True)
        del ours
        scribble = [torch.full((50_000,), -1.0, device=ctx.device) for _ in range(4)]
        assert work is not None
        work.wait()
        want = torch.arange(ctx.size, dtype=torch.float32).repeat_interleave(50_000)
        assert torch.equal(kept.cpu(), want), "all_gather of a dropped tensor"
        del theirs, kept, scribble


@program
def work_lets_go(ctx: Context) -> None:
    """When the operation is over and its handle gone, nothing holds the tensors."""
    tensor = torch.ones(1000, device=ctx.device)
    gone = weakref.ref(tensor)
    work = ctx.comm.all_reduce(tensor, async_op=True)
    assert work is not None
    work.wait()
    del tensor, work
    end = time.monotonic() + 5
    while gone() is not None and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None, "the tensor of a finished operation is still held"


@program
def barrier(ctx: Context) -> None:
    """Nobody passes before the last has come."""
    ctx.comm.barrier()
    for late in range(ctx.size):
        if ctx.rank == late:
            time.sleep(0.2)
        arrived = time.clock_gettime(time.CLOCK_MONOTONIC)
        ctx.comm.barrier()
        passed = time.clock_gettime(time.CLOCK_MONOTONIC)
        times = ctx.poison((ctx.size, 2), torch.float64)
        mine = ctx.place(torch.tensor([arrived, passed], dtype=torch.float64))
        ctx.comm.all_gather(times.tensor, mine.tensor)
        now = times.now()
        assert now[:, 1].min() >= now[:, 0].max(), (
            f"a rank passed {float(now[:, 0].max() - now[:, 1].min()):.3f} s before the last came"
        )


@program
def identity(ctx: Context) -> None:
    """Rank, size, channel and timeout are what was asked for."""
    comm = ctx.communicator(timeout=12.5)
    assert (comm.rank, comm.size) == (ctx.rank, ctx.size), (comm.rank, comm.size)
    assert comm.timeout == 12.5, comm.timeout
    assert comm.channel in ctx.backend.collectives.channels(), comm.channel
    mine = ctx.place(torch.ones(3))
    comm.all_reduce(mine.tensor)
    mine.expect(torch.full((3,), float(ctx.size)), "all_reduce")
    comm.close()


@program
def every_channel(ctx: Context) -> None:
    """A communicator over each channel that the backend says it has."""
    names = ctx.backend.collectives.channels()
    assert names, "COLLECTIVES is claimed and channels() is empty"
    for name in names:
        comm = ctx.communicator(channel=name)
        assert comm.channel == name, f"asked for {name}, got {comm.channel}"
        mine = ctx.place(torch.full((9,), float(ctx.rank)))
        comm.all_reduce(mine.tensor, "max")
        mine.expect(torch.full((9,), float(ctx.size - 1)), f"all_reduce over {name}")
        comm.close()


@program
def groups(ctx: Context) -> None:
    """Groups of some ranks: ranks, roots and peers count within the group."""
    everyone = list(range(ctx.size))
    for members in (everyone[::2], everyone[1:], everyone[-1:], everyone):
        comm = ctx.communicator(members)
        if ctx.rank in members:
            me = members.index(ctx.rank)
            assert (comm.rank, comm.size) == (me, len(members)), (comm.rank, comm.size)
            mine = ctx.place(torch.tensor([1, 10 * ctx.rank]))
            comm.all_reduce(mine.tensor)
            mine.expect(torch.tensor([len(members), 10 * sum(members)]), f"sum of {members}")
            root = len(members) - 1
            one = ctx.place(torch.full((3,), 100 + ctx.rank))
            comm.broadcast(one.tensor, root)
            one.expect(torch.full((3,), 100 + members[root]), f"broadcast in {members}")
            if len(members) > 1 and me in (0, root):
                note = ctx.place(torch.tensor([ctx.rank]))
                if me == 0:
                    comm.send(note.tensor, root)
                else:
                    comm.recv(note.tensor, 0)
                    note.expect(torch.tensor([members[0]]), f"send in {members}")
        comm.close()
    ctx.comm.barrier()


@program
def two_communicators(ctx: Context) -> None:
    """Operations of two communicators do not get into each other's way."""
    first, second = ctx.communicator(), ctx.communicator()
    a, b = ctx.place(torch.ones(1000)), ctx.place(torch.full((2000,), 2.0))
    calls = [(first, a), (second, b)] if ctx.rank % 2 else [(second, b), (first, a)]
    works = [comm.all_reduce(buffer.tensor, async_op=True) for comm, buffer in calls]
    for work in works:
        assert work is not None
        work.wait()
    a.expect(torch.full((1000,), float(ctx.size)), "the first communicator")
    b.expect(torch.full((2000,), 2.0 * ctx.size), "the second communicator")
    first.close()
    second.close()


@program
def on_a_stream(ctx: Context) -> None:
    """Inside ``backend.stream(s)``, collectives keep the order of eager torch operations."""
    if Capability.STREAMS not in ctx.backend.capabilities:
        raise SkipProgram("missing capability streams")
    stream = ctx.backend.streams.create()
    with ctx.backend.stream(stream):
        tensor = torch.zeros(100_000, device=ctx.device)
        tensor.fill_(ctx.rank + 1)
        ctx.comm.all_reduce(tensor)
        tensor.mul_(2)
        ctx.comm.all_reduce(tensor, "max")
        tensor.add_(1)
    stream.synchronize()
    total = ctx.size * (ctx.size + 1) // 2
    assert torch.equal(tensor.cpu(), torch.full((100_000,), 2.0 * total + 1)), tensor[:3]


@program
def many(ctx: Context) -> None:
    """Three hundred small operations of every kind in random order, the same on every rank."""
    dice = ctx.generator(0, "many")
    for i in range(300):
        kind, root = (int(torch.randint(n, (), generator=dice)) for n in (4, ctx.size))
        n = int(torch.randint(1, 40, (), generator=dice))
        if kind == 0:
            mine = ctx.place(torch.full((n,), ctx.rank + i))
            ctx.comm.all_reduce(mine.tensor)
            want = torch.full((n,), sum(r + i for r in range(ctx.size)))
        elif kind == 1:
            mine = ctx.place(torch.full((n,), ctx.rank + i))
            ctx.comm.broadcast(mine.tensor, root)
            want = torch.full((n,), root + i)
        elif kind == 2:
            mine = ctx.poison((ctx.size, n), torch.int64)
            given = ctx.place(torch.full((n,), ctx.rank - i))
            ctx.comm.all_gather(mine.tensor, given.tensor)
            want = torch.stack([torch.full((n,), r - i) for r in range(ctx.size)])
        else:
            mine = ctx.poison((n,), torch.int64)
            given = ctx.place(torch.full((ctx.size, n), ctx.rank))
            ctx.comm.reduce_scatter(mine.tensor, given.tensor, "max")
            want = torch.full((n,), ctx.size - 1)
        mine.expect(want, f"operation {i} (kind {kind})")


@program
def adopted_world(ctx: Context) -> None:
    """torch.distributed was initialised by the framework; its group stays usable."""
    group = torch.distributed.group.WORLD
    comm = ctx.communicator()
    mine = ctx.place(torch.ones(5))
    comm.all_reduce(mine.tensor)
    mine.expect(torch.full((5,), float(ctx.size)), "all_reduce")
    comm.close()
    assert torch.distributed.is_initialized(), "close() ended the framework's process group"
    assert torch.distributed.group.WORLD is group, "the framework's process group was replaced"
    theirs = torch.ones(2)
    torch.distributed.all_reduce(theirs)
    assert theirs.tolist() == [ctx.size] * 2, theirs
