"""Programs with a missing wait, each the same with the wait: ``program(backend, wait)``.

A program leaves its streams to the caller, who synchronises them when the sanitizer is off again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from accel import Backend, KVCache, MemRef

__all__ = ["PLANTED", "Planted"]

Program = Callable[[Backend, bool], Any]


@dataclass(frozen=True)
class Planted:
    """A program, and what is to be said of it without its wait."""

    program: Program
    kind: str
    calls: tuple[str, str]  #: of the first and the second access


PLANTED: dict[str, Planted] = {}


def planted(kind: str, first: str, second: str) -> Callable[[Program], Program]:
    def keep(program: Program) -> Program:
        PLANTED[program.__name__] = Planted(program, kind, (first, second))
        return program

    return keep


def numbers(n: int = 4096) -> torch.Tensor:
    return torch.arange(n, dtype=torch.int32)


def cache(blocks: int = 8, layers: int = 2, layout: str = "L K | B S H D") -> KVCache:
    return KVCache.allocate(
        layout, layers=layers, blocks=blocks, block_size=4, heads=2, head_dim=8, dtype=torch.float16
    )


def slots(*values: int) -> torch.Tensor:
    return torch.tensor(values)


COPY = "memcpy.copy_async"


# --- uploads and staging -------------------------------------------------------------------------


@planted("write-read", COPY, COPY)
def upload_without_wait_event(b: Backend, wait: bool) -> Any:
    upload, compute = b.streams.create(), b.streams.create()
    host, device, out = numbers(), numbers(), numbers()
    b.memcpy.copy_async(device, host, upload)
    if wait:
        compute.wait_event(upload.record_event())
    b.memcpy.copy_async(out, device, compute)


@planted("read-write", COPY, "torch.fill_")
def staging_overwritten_too_early(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    staging, device = b.pinned.empty(4096, torch.uint8), torch.empty(4096, dtype=torch.uint8)
    done = b.events.create()
    for step in range(2):
        if wait:
            done.synchronize()
        staging.fill_(step)
        b.memcpy.copy_async(device, staging, stream)
        done.record(stream)
    return staging


@planted("read-write", COPY, COPY)
def second_fence_missing(b: Backend, wait: bool) -> Any:
    copies, compute = b.streams.create(), b.streams.create()
    host, device, out = numbers(), numbers(), numbers()
    used = b.events.create()
    for _ in range(2):
        if wait:
            copies.wait_event(used)
        b.memcpy.copy_async(device, host, copies)
        compute.wait_event(copies.record_event())
        b.memcpy.copy_async(out, device, compute)
        used.record(compute)


@planted("read-write", COPY, "torch.zero_")
def source_written_before_it_was_read(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    src, dst = numbers(), numbers()
    b.memcpy.copy_async(dst, src, stream)
    if wait:
        stream.synchronize()
    src.zero_()


@planted("write-read", COPY, "torch.sum")
def host_read_before_synchronise(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    src, dst = numbers(), numbers()
    b.memcpy.copy_async(dst, src, stream)
    event = stream.record_event()
    if wait:
        event.synchronize()
    return dst.sum()


@planted("write-read", COPY, "torch.tolist")
def host_list_before_synchronise(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    src, dst = numbers(), numbers()
    b.memcpy.copy_async(dst, src, stream)
    if wait:
        b.streams.synchronize()
    return dst[:4].tolist()


# --- events and streams --------------------------------------------------------------------------


@planted("write-read", COPY, COPY)
def event_recorded_again_after_the_wait(b: Backend, wait: bool) -> Any:
    producer, consumer = b.streams.create(), b.streams.create()
    event = b.events.create()
    src, first, second, out = (numbers() for _ in range(4))
    b.memcpy.copy_async(first, src, producer)
    event.record(producer)
    consumer.wait_event(event)
    b.memcpy.copy_async(second, src, producer)
    event.record(producer)
    if wait:
        event.wait(consumer)
    b.memcpy.copy_async(out, second, consumer)


@planted("write-read", COPY, COPY)
def event_recorded_before_the_work(b: Backend, wait: bool) -> Any:
    producer, consumer = b.streams.create(), b.streams.create()
    src, dst, out = (numbers() for _ in range(3))
    event = producer.record_event()
    b.memcpy.copy_async(dst, src, producer)
    if wait:
        producer.record_event(event)
    consumer.wait_event(event)
    b.memcpy.copy_async(out, dst, consumer)


@planted("write-read", COPY, COPY)
def event_never_recorded(b: Backend, wait: bool) -> Any:
    producer, consumer = b.streams.create(), b.streams.create()
    event = b.events.create()
    src, dst, out = (numbers() for _ in range(3))
    b.memcpy.copy_async(dst, src, producer)
    if wait:
        event.record(producer)
    consumer.wait_event(event)
    b.memcpy.copy_async(out, dst, consumer)


@planted("write-read", COPY, COPY)
def wait_on_the_wrong_stream(b: Backend, wait: bool) -> Any:
    producer, consumer, bystander = (b.streams.create() for _ in range(3))
    src, dst, out = (numbers() for _ in range(3))
    b.memcpy.copy_async(dst, src, producer)
    (consumer if wait else bystander).wait_event(producer.record_event())
    b.memcpy.copy_async(out, dst, consumer)


@planted("write-read", COPY, COPY)
def more_work_after_wait_stream(b: Backend, wait: bool) -> Any:
    producer, consumer = b.streams.create(), b.streams.create()
    src, dst, out = (numbers() for _ in range(3))
    if not wait:
        consumer.wait_stream(producer)
    b.memcpy.copy_async(dst, src, producer)
    if wait:
        consumer.wait_stream(producer)
    b.memcpy.copy_async(out, dst, consumer)


@planted("write-read", COPY, COPY)
def chain_through_a_third_stream(b: Backend, wait: bool) -> Any:
    first, middle, last = (b.streams.create() for _ in range(3))
    src, dst, out = (numbers() for _ in range(3))
    b.memcpy.copy_async(dst, src, first)
    if wait:
        middle.wait_event(first.record_event())
    last.wait_event(middle.record_event())
    b.memcpy.copy_async(out, dst, last)


@planted("write-read", COPY, "torch.max")
def query_not_heeded(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    src, dst = numbers(), numbers()
    if not wait:
        stream.add_callback(lambda: time.sleep(0.05))
    b.memcpy.copy_async(dst, src, stream)
    answered = stream.query()
    while wait and not answered:
        answered = stream.query()
    result = dst.max()
    stream.synchronize()
    return result


@planted("write-write", "memcpy.fill", COPY)
def fill_and_copy(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    src, dst = numbers(), numbers()
    b.memcpy.fill(dst, 0, left)
    if wait:
        right.wait_stream(left)
    b.memcpy.copy_async(dst, src, right)


# --- bytes ---------------------------------------------------------------------------------------


@planted("write-write", COPY, COPY)
def overlapping_ranges_of_one_storage(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    whole, src = numbers(), numbers()
    b.memcpy.copy_async(whole[:2001], src[:2001], left)
    start = 2001 if wait else 2000  # the twin's ranges touch, but do not overlap
    b.memcpy.copy_async(whole[start:], src[start:], right)


@planted("write-read", COPY, COPY)
def raw_reference(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    src, dst, out = (numbers() for _ in range(3))
    ref = MemRef(dst.data_ptr() + 400, 4000, dst.device, dst)
    b.memcpy.copy_async(dst, src, left)
    if wait:
        right.wait_event(left.record_event())
    b.memcpy.copy_async(MemRef(out.data_ptr(), 4000, out.device, out), ref, right)


@planted("write-write", "memcpy.copy_2d", "memcpy.copy_2d")
def interleaved_rows(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    whole, src = torch.zeros(64, 128, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.uint8)
    flat = whole.flatten()
    pitches = {"height": 63, "dst_pitch": 128, "src_pitch": 64}
    b.memcpy.copy_2d(flat, src, width=64, stream=left, **pitches)
    at = 64 if wait else 63  # the twin's rows lie side by side
    b.memcpy.copy_2d(flat[at:], src.flatten()[:-1], width=63, stream=right, **pitches)


@planted("write-read", COPY, COPY)
def columns_of_a_matrix(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    whole, src, out = torch.zeros(50, 50), torch.zeros(50, 20), torch.zeros(50, 20)
    b.memcpy.copy_async(whole[:, 5:25], src, left)
    first = 25 if wait else 24
    b.memcpy.copy_async(out, whole[:, first : first + 20], right)


@planted("write-read", COPY, COPY)
def column_between_whose_writer_waited(b: Backend, wait: bool) -> Any:
    first, second, third = (b.streams.create() for _ in range(3))
    whole, src, out = torch.zeros(50, 4), torch.zeros(50, 1), torch.zeros(48, 1)
    b.memcpy.copy_async(whole[1:49, 1:2], src[1:49], first)
    second.wait_stream(first)
    b.memcpy.copy_async(whole[:, 2:3], src, second)  # more rows, around the others' bytes
    if wait:
        third.wait_stream(first)
    b.memcpy.copy_async(out, whole[1:49, 1:2], third)


@planted("write-read", "memcpy.copy_batch", COPY)
def one_pair_of_a_batch(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    srcs, dsts, out = [numbers() for _ in range(4)], [numbers() for _ in range(4)], numbers()
    b.memcpy.copy_batch(dsts, srcs, left)
    if wait:
        left.synchronize()
    b.memcpy.copy_async(out, dsts[2], right)


@planted("read-write", COPY, "pinned.free")
def pinned_freed_under_a_raw_copy(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    buffer, device = b.pinned.allocate(4096), torch.empty(4096, dtype=torch.uint8)
    b.memcpy.copy_async(device, MemRef(buffer.pointer, 4096, torch.device("cpu")), stream)
    if wait:
        b.pinned.record_stream(buffer, stream)
    buffer.free()


@planted("read-write", COPY, "pinned.allocate")
def pinned_dropped_and_handed_out_again(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    device = torch.empty(12345, dtype=torch.uint8)
    taken = []
    buffer = b.pinned.allocate(12345)
    pointer = buffer.pointer
    b.memcpy.copy_async(device, MemRef(pointer, 12345, torch.device("cpu")), stream)
    if wait:
        stream.synchronize()
    del buffer
    for _ in range(200):  # this pool waits for the copy, others need not
        taken.append(b.pinned.allocate(12345))
        if taken[-1].pointer == pointer:
            return taken
        time.sleep(0.01)
    raise AssertionError("the pool did not hand the block out again")


# --- torch ---------------------------------------------------------------------------------------


@planted("write-read", "torch.mul", COPY)
def torch_on_a_side_stream(b: Backend, wait: bool) -> Any:
    side, other = b.streams.create(), b.streams.create()
    x, out = torch.ones(1000), torch.ones(1000)
    with b.stream(side):
        y = x * 2
    if wait:
        other.wait_stream(side)
    b.memcpy.copy_async(out, y, other)


@planted("write-read", COPY, "torch.add_")
def torch_does_not_wait_for_the_copy(b: Backend, wait: bool) -> Any:
    copies, side = b.streams.create(), b.streams.create()
    x, y = torch.ones(1000), torch.ones(1000)
    b.memcpy.copy_async(y, x, copies)
    if wait:
        side.wait_stream(copies)
    with b.stream(side):
        x.clone().add_(y)


@planted("write-read", "torch.fill_", "torch.clone")
def two_host_threads(b: Backend, wait: bool) -> Any:
    shared = torch.zeros(1000)
    thread = threading.Thread(target=lambda: shared.fill_(1))
    thread.start()
    if wait:
        thread.join()
    else:
        while thread._tstate_lock is not None and thread._tstate_lock.locked():  # no order learnt
            pass
    result = shared.clone()
    thread.join()
    return result


@planted("write-read", COPY, COPY)
def streams_of_two_threads(b: Backend, wait: bool) -> Any:
    src, dst, out = (numbers() for _ in range(3))
    left, right = b.streams.create(), b.streams.create()
    handed: queue.Queue[Any] = queue.Queue()

    def consume() -> None:
        event = handed.get()
        if event is not None:
            right.wait_event(event)
        b.memcpy.copy_async(out, dst, right)

    thread = threading.Thread(target=consume)
    thread.start()
    b.memcpy.copy_async(dst, src, left)
    handed.put(left.record_event() if wait else None)
    thread.join()


@planted("write-read", COPY, "torch.clone")
def callback_reads_what_another_stream_writes(b: Backend, wait: bool) -> Any:
    writer, reader = b.streams.create(), b.streams.create()
    src, dst = numbers(), numbers()
    seen: list[torch.Tensor] = []
    b.memcpy.copy_async(dst, src, writer)
    if wait:
        reader.wait_event(writer.record_event())
    reader.add_callback(lambda: seen.append(dst.clone()))
    reader.synchronize()
    return seen


@planted("write-write", "torch.zero_", COPY)
def callback_writes_what_another_stream_writes(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    src, dst = numbers(), numbers()
    left.add_callback(dst.zero_)
    if wait:
        right.wait_stream(left)
    b.memcpy.copy_async(dst, src, right)
    left.synchronize()


# --- KV caches -----------------------------------------------------------------------------------


@planted("write-read", "kv.write", "kv.transfer")
def transfer_of_a_slot_being_written(b: Backend, wait: bool) -> Any:
    compute, offload = b.streams.create(), b.streams.create()
    device, host = cache(), cache(layout="L K | T H D")
    rows = torch.zeros(3, 2, 8, dtype=torch.float16)
    b.kv.write(device, 1, rows, rows, slots(4, 5, 17), stream=compute)
    if wait:
        offload.wait_stream(compute)
    b.kv.transfer(device, host, slots(16, 17), slots(0, 1), stream=offload)


@planted("write-read", "kv.transfer", "kv.gather")
def gather_of_a_slot_being_written(b: Backend, wait: bool) -> Any:
    load, compute = b.streams.create(), b.streams.create()
    host, device, out = cache(), cache(), cache(layout="L K | T H D")
    b.kv.transfer(host, device, slots(0, 1, 2), slots(8, 9, 10), stream=load)
    if wait:
        compute.wait_event(load.record_event())
    b.kv.gather(device, out, torch.tensor([[5, 2]]), torch.tensor([7]), stream=compute)


@planted("write-read", "kv.transfer", "kv.copy_blocks")
def copy_on_write_of_a_block_being_loaded(b: Backend, wait: bool) -> Any:
    load, compute = b.streams.create(), b.streams.create()
    host, device = cache(), cache()
    b.kv.transfer(host, device, slots(0, 1), slots(3, 4), grain="block", stream=load)
    if wait:
        compute.wait_stream(load)
    b.kv.copy_blocks(device, torch.tensor([[4, 6], [5, 7]]), stream=compute)


@planted("read-write", "kv.swap_blocks", "kv.write")
def block_written_while_it_is_swapped_out(b: Backend, wait: bool) -> Any:
    compute, offload = b.streams.create(), b.streams.create()
    device, host = cache(), cache()
    rows = torch.zeros(1, 2, 8, dtype=torch.float16)
    b.kv.swap_blocks(device, host, torch.tensor([[2, 0]]), stream=offload)
    if wait:
        compute.wait_event(offload.record_event())
    b.kv.write(device, 0, rows, rows, slots(11), stream=compute)


@planted("read-write", "kv.write", "torch.zero_")
def keys_overwritten_before_they_were_written(b: Backend, wait: bool) -> Any:
    stream = b.streams.create()
    rows = torch.ones(4, 2, 8, dtype=torch.float16)
    b.kv.write(cache(), 0, rows, rows.clone(), slots(0, 1, 2, 3), stream=stream)
    if wait:
        stream.synchronize()
    rows.zero_()


@planted("write-write", "kv.transfer", "kv.transfer")
def the_same_slot_of_the_same_layer(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    a, c = cache(layers=4), cache(layers=4)
    pair = slots(1, 2), slots(3, 4)
    layers = (slice(0, 2), slice(2, 4)) if wait else (slice(0, 3), slice(2, 4))
    for stream, part in zip((left, right), layers, strict=True):
        b.kv.transfer(a.select_layers(part), c.select_layers(part), *pair, stream=stream)


@planted("write-read", "kv.transfer", COPY)
def copy_of_a_tensor_that_holds_the_slot(b: Backend, wait: bool) -> Any:
    load, other = b.streams.create(), b.streams.create()
    host, device = cache(), cache()
    layer = device.tensors[2]  # K of layer 1: [blocks, 4, 2, 8]
    out = torch.empty_like(layer[:3])
    b.kv.transfer(host, device, slots(0), slots(13), stream=load)
    part = slice(0, 3) if wait else slice(1, 4)  # slot 13 is in block 3
    b.memcpy.copy_async(out, layer[part], other)


@planted("write-read", COPY, "kv.transfer")
def transfer_of_slots_being_copied_over(b: Backend, wait: bool) -> Any:
    load, other = b.streams.create(), b.streams.create()
    host, device = cache(), cache()
    layer = device.tensors[3]
    b.memcpy.copy_async(layer[2:4, :, 0], layer[4:6, :, 0].clone(), load)
    if wait:
        other.wait_stream(load)
    b.kv.transfer(device, host, slots(9), slots(0), stream=other)


@planted("write-read", "kv.transfer", "kv.transfer")
def two_descriptions_of_the_same_bytes(b: Backend, wait: bool) -> Any:
    left, right = b.streams.create(), b.streams.create()
    # Pages of 4 tokens with K and V inside; and the first head alone, as an MLA cache sees it.
    whole = torch.zeros(6, 2, 4, 2, 8, dtype=torch.float16)
    both = KVCache(whole, "| B K S H D")
    heads = [KVCache(whole[:, 0, :, h], "| B S D") for h in range(2)]
    small = KVCache(torch.zeros(6, 4, 8, dtype=torch.float16), "| B S D")
    b.kv.transfer(small, heads[0], slots(0, 1), slots(5, 6), stream=left)
    if wait:  # the other head's bytes lie between, and are not the same
        b.kv.transfer(heads[1], small, slots(5, 6), slots(8, 9), stream=right)
        return None
    other = KVCache(torch.zeros_like(whole), "| B K S H D")
    b.kv.transfer(both, other, slots(6), slots(0), stream=right)
    return None


@planted("write-read", COPY, "kv.transfer")
def index_tensor_not_complete(b: Backend, wait: bool) -> Any:
    upload, load = b.streams.create(), b.streams.create()
    made, index = torch.arange(4), torch.arange(4)
    b.memcpy.copy_async(index, made, upload)
    if wait:
        upload.synchronize()
    b.kv.transfer(cache(), cache(), index, slots(4, 5, 6, 7), stream=load)


@planted("write-read", "kv.upload_small", COPY)
def metadata_used_before_it_is_there(b: Backend, wait: bool) -> Any:
    upload, compute = b.streams.create(), b.streams.create()
    device, out = numbers(8), numbers(8)
    metadata = numbers(8)
    b.kv.upload_small(device, metadata, stream=upload)
    metadata.zero_()  # was read at the call
    if wait:
        compute.wait_stream(upload)
    b.memcpy.copy_async(out, device, compute)
