"""Argument structs of the arithmetic kernels, and how a call is cut: written for tests, apart from
the host code that does it for the backend.

Operands come as ``(address, shape, byte strides)``.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

F32, F16, BF16, E4M3, E5M2, I8, U8, I4 = range(8)
SIZES = {F32: 4, F16: 2, BF16: 2, E4M3: 1, E5M2: 1, I8: 1, U8: 1}
THREADS = 256

u32, i32, u64, i64 = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_int64


@dataclass
class Operand:
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # bytes


class Quotient(ctypes.Structure):
    _fields_ = [("by", u32), ("magic", u32), ("shift", u32), ("unused", u32)]

    @classmethod
    def of(cls, by: int) -> Quotient:
        by = max(1, by)
        shift = (by - 1).bit_length()
        return cls(by, (2**32 * (2**shift - by) // by + 1) % 2**32, shift, 0)


class RopeToken(ctypes.Structure):
    _fields_ = [("offset", i64), ("old", i32), ("new", i32)]


class RopeList(ctypes.Structure):
    _fields_ = [("data", u64), ("stride", i64), ("wide", i32), ("unused", i32)]


class RopeDim(ctypes.Structure):
    _fields_ = [("extent", Quotient), ("step", i64), ("old_step", i64), ("new_step", i64)]


class RopeArgs(ctypes.Structure):
    _fields_ = [
        ("base", u64), ("bases", u64), ("fault", u64), ("list", u64),
        ("slots", RopeList), ("old_positions", RopeList), ("new_positions", RopeList),
        ("dim", RopeDim * 4),
        ("positions", i64), ("units", i64), ("block", Quotient),
        ("block_stride", i64), ("slot_stride", i64),
        ("listed", i32), ("dims", i32), ("tokens", u32), ("layers", u32),
        ("head_stride", i64), ("stride", i64), ("outer_stride", i64),
        ("inner", u32), ("first", u32), ("pairs", u32),
        ("tile", u32), ("layers_each", u32), ("piece", u32), ("chunks", u32),
        ("heads", u32), ("head_lanes", u32), ("inner_by", Quotient), ("middle_by", Quotient),
        ("tokens_first", i32), ("alone", i32),
        ("table", u64), ("turns", u64), ("table_row", i64), ("table_step", i64),
        ("table_kind", i32), ("unused_2", i32), ("here", RopeToken * 48),
    ]  # fmt: skip


class QuantizeDim(ctypes.Structure):
    _fields_ = [("extent", Quotient), ("step", i64 * 4)]


class QuantizeSpec(ctypes.Structure):
    _fields_ = [("steps", ctypes.c_float), ("zero", i32), ("lowest", i32), ("highest", i32)]


class SegmentArgs(ctypes.Structure):
    _fields_ = [
        ("base", u64 * 4), ("dim", QuantizeDim * 4), ("dims", u32), ("segments", u32),
        ("value_step", i64), ("code_step", i64), ("scale_step", i64), ("offset_step", i64),
        ("length", u32), ("chunks", u32), ("lanes_log", u32), ("unused", u32),
        ("chunks_by", Quotient), ("spec", QuantizeSpec),
    ]  # fmt: skip


class ColumnArgs(ctypes.Structure):
    _fields_ = [
        ("base", u64 * 4), ("dim", QuantizeDim * 4), ("dims", u32), ("outer", u32),
        ("token_step", i64 * 2), ("channel_step", i64 * 4),
        ("tokens", u32), ("channels", u32), ("chunks", u32), ("width_log", u32),
        ("parts", Quotient), ("slabs_by", Quotient),
        ("part", u32), ("slabs", u32), ("ahead", u32), ("unused", u32),
        ("workspace", u64), ("spec", QuantizeSpec),
    ]  # fmt: skip


#: 2^192 / (2 pi), from pi to 60 digits.
INVERSE_TURN = int(
    Fraction(2**191) / Fraction("3.14159265358979323846264338327950288419716939937510582097494459")
)


def turn_fraction(inv_freq: float) -> int:
    """Radians as turns times 2^64, without whole turns."""
    return int(Fraction(inv_freq) * INVERSE_TURN / 2**128) % 2**64


@dataclass
class Launch:
    kernel: str
    args: ctypes.Structure
    grid: tuple[int, ...]
    block: int
    shared_bytes: int = 0
    words: int = 0  # of zeroed workspace, whose address goes into args.workspace
    turns: Sequence[int] = ()  # uint64, whose address goes into args.turns


def chunk_channels(kind: int, vector: int, packed: bool = False) -> int:
    """Channels that a thread takes at once."""
    return (2 if packed else 1) if vector == 0 else vector // SIZES[kind]


def rope_vector(kind: int, interleaved: bool, keys: Operand, first: int, pairs: int) -> int:
    """The widest loads that these keys ``[..., heads, head_dim]`` allow."""
    size = SIZES[kind]
    if keys.strides[-1] != size:
        return 0
    steps = [keys.address, first * size, *keys.strides[:-1]]
    steps += [2 * pairs * size] if interleaved else [pairs * size]
    for vector in (16, 8, 4):
        if vector >= (2 * size if interleaved else size) and all(s % vector == 0 for s in steps):
            return vector
    return 0


def rope_launch(
    keys: Operand,
    kind: int,
    interleaved: bool,
    vector: int,
    frequencies: Sequence[float],
    *,
    first: int = 0,
    layers: Sequence[int] = (),
    positions: int = 2**31,
    blocks: int = 264,
    tokens_first: bool = False,
    head_lanes: int = 0,
    threads: int = THREADS,
) -> Launch:
    """For keys ``[..., heads, head_dim]``; which tokens is left to the caller.

    ``layers``: addresses instead of the keys' own. ``blocks`` or more are wanted.
    """
    args = RopeArgs()
    args.base = keys.address
    *leading, heads, _ = keys.shape
    tokens = math.prod(leading)
    pairs = len(frequencies)
    loaded = 1 if vector == 0 else vector // SIZES[kind]
    of_chunk = loaded // 2 if interleaved and vector else loaded
    chunks = pairs // of_chunk
    assert chunks * of_chunk == pairs
    args.dims = len(leading)
    for d, (extent, step) in enumerate(zip(leading, keys.strides, strict=False)):
        args.dim[d].extent, args.dim[d].step = Quotient.of(extent), step
    args.positions = positions
    args.tokens, args.layers = tokens, max(1, len(layers))
    args.head_stride, args.stride = keys.strides[-2:]
    args.inner, args.first, args.pairs = keys.shape[-1], first, pairs
    args.chunks, args.piece = chunks, min(chunks, threads, max(1, 1024 // of_chunk))
    padded = (args.piece * of_chunk + 3) // 4 * 4
    rows = threads // args.piece
    lanes = min(2, heads, rows)
    if not head_lanes:
        while lanes * 2 <= min(heads, rows) and tokens * lanes < blocks * rows:
            lanes *= 2
    args.heads, args.head_lanes = heads, head_lanes or lanes
    args.tile = max(1, min(rows // args.head_lanes, 4096 // padded, tokens))
    tiles = -(-tokens // args.tile)
    groups = max(1, min(args.layers, -(-blocks // tiles)))
    args.layers_each = -(-args.layers // groups)
    args.tokens_first, args.alone = int(tokens_first), int(args.head_lanes == 1)
    axes = (args.tile, args.piece) if tokens_first else (args.piece, args.head_lanes)
    args.inner_by, args.middle_by = Quotient.of(axes[0]), Quotient.of(axes[1])
    grid = (tiles, -(-args.layers // args.layers_each), -(-chunks // args.piece))
    shared = args.tile * 8 + 2 * 4 * args.tile * padded
    turns = [turn_fraction(f) for f in frequencies]
    return Launch("rope_reposition", args, grid, threads, shared, turns=turns)


def quantize_vector(kind: int, packed: bool, values: Operand, codes: Operand, length: int) -> int:
    """The widest loads that these operands allow, of segments of ``length`` channels."""
    size = SIZES[kind]
    if values.strides[-1] != size or codes.strides[-1] != 1:
        return 0
    for vector in (16, 8, 4):
        channels = vector // size
        wide = channels // 2 if packed else channels
        if (
            wide
            and (not packed or channels % 2 == 0)
            and length % channels == 0
            and all(s % vector == 0 for s in (values.address, *values.strides[:-1]))
            and all(s % wide == 0 for s in (codes.address, *codes.strides[:-1]))
        ):
            return vector
    return 0


def _dims(extents: Sequence[int], steps: Sequence[Sequence[int]]) -> tuple[Any, int]:
    """Axes joined where every operand allows it."""
    kept: list[tuple[int, list[int]]] = []
    for i, extent in enumerate(extents):
        step = [s[i] for s in steps]
        if extent == 1:
            continue
        if kept and all(a == extent * b for a, b in zip(kept[-1][1], step, strict=True)):
            kept[-1] = (kept[-1][0] * extent, step)
        else:
            kept.append((extent, step))
    made = (QuantizeDim * 4)()
    for d, (extent, step) in enumerate(kept):
        made[d].extent = Quotient.of(extent)
        made[d].step[: len(step)] = step
    return made, len(kept)


def segment_launch(
    values: Operand,
    codes: Operand,
    scales: Operand,
    offsets: Operand | None,
    kind: int,
    packed: bool,
    vector: int,
    spec: QuantizeSpec,
    group: int,
    back: bool,
) -> Launch:
    """By group: ``scales [..., tokens, groups]``."""
    args = SegmentArgs()
    if packed and group % 2:
        return odd_launch(values, codes, scales, offsets or scales, spec, group, back)
    *outer, channels = values.shape
    operands = [values, codes, scales, offsets or scales]
    steps = []
    for which, operand in enumerate(operands):
        args.base[which] = operand.address
        within = operand.strides[-1]
        if which < 2:
            within *= group // 2 if packed and which == 1 else group
        steps.append([*operand.strides[:-1], within])
    args.dim, args.dims = _dims([*outer, channels // group], steps)
    args.segments = math.prod(outer) * (channels // group)
    args.value_step, args.code_step = values.strides[-1], codes.strides[-1]
    args.length = group
    args.chunks = group // chunk_channels(kind, vector, packed)
    args.chunks_by = Quotient.of(args.chunks)
    args.spec = spec
    if back:
        blocks = -(-args.segments * args.chunks // (THREADS * 2))
        return Launch("dequantize_rows", args, (blocks,), THREADS)
    if args.chunks > 128:
        threads = min(1024, max(128, 1 << (-(-args.chunks // 4) - 1).bit_length()))
        return Launch("quantize_rows_block", args, (args.segments,), threads)
    if 4 <= args.chunks <= 15:
        args.lanes_log = (args.chunks - 1).bit_length()
        blocks = -(-args.segments // (4 * (THREADS >> args.lanes_log)))
        return Launch("quantize_rows_short", args, (blocks,), THREADS)
    held = 4 if args.chunks > 15 else 2 if args.chunks > 1 else 1
    args.lanes_log = (-(-args.chunks // held) - 1).bit_length()
    blocks = -(-args.segments // (THREADS >> args.lanes_log))
    return Launch(f"quantize_rows_{held}", args, (blocks,), THREADS)


def odd_launch(
    values: Operand, codes: Operand, scales: Operand, offsets: Operand, spec: QuantizeSpec,
    group: int, back: bool,
) -> Launch:  # fmt: skip
    """Packed codes in groups of an odd size: pairs of groups, or back whole rows."""
    args = SegmentArgs()
    *outer, channels = values.shape
    pairs = channels // group // 2
    for which, operand in enumerate((values, codes, scales, offsets)):
        args.base[which] = operand.address
    each = [2 * group * values.strides[-1], group, 2 * scales.strides[-1], 2 * offsets.strides[-1]]
    steps = [
        [*o.strides[:-1], e] for o, e in zip((values, codes, scales, offsets), each, strict=True)
    ]
    extents = [*outer, pairs]
    if back:
        extents, steps = outer, [s[:-1] for s in steps]
    args.dim, args.dims = _dims(extents, steps)
    args.segments = math.prod(extents)
    args.value_step, args.code_step = values.strides[-1], 1
    args.scale_step, args.offset_step = scales.strides[-1], offsets.strides[-1]
    args.length, args.chunks = group, channels // 2
    args.chunks_by, args.spec = Quotient.of(channels // 2), spec
    if back:
        blocks = -(-args.segments * args.chunks // (THREADS * 2))
        return Launch("dequantize_rows_odd", args, (blocks,), THREADS)
    return Launch("quantize_rows_odd", args, (-(-args.segments // THREADS),), THREADS)


def column_launch(
    values: Operand,
    codes: Operand,
    scales: Operand,
    offsets: Operand | None,
    kind: int,
    packed: bool,
    shifted: bool,
    vector: int,
    spec: QuantizeSpec,
    back: bool,
    *,
    passes: int = 4,
    multiprocessors: int = 132,
    blocks_each: int = 4,
    width_log: int = 4,
) -> Launch:
    """By channel: ``scales [..., channels]``."""
    args = ColumnArgs()
    *outer, tokens, channels = values.shape
    operands = [values, codes, scales, offsets or scales]
    for which, operand in enumerate(operands):
        args.base[which] = operand.address
        args.channel_step[which] = operand.strides[-1]
    leading = [list(o.strides[: len(outer)]) for o in operands]
    args.dim, args.dims = _dims(outer, leading)
    args.outer = math.prod(outer)
    args.token_step[0], args.token_step[1] = values.strides[-2], codes.strides[-2]
    args.tokens, args.channels = tokens, channels
    of_chunk = chunk_channels(kind, vector, packed)
    args.chunks = channels // of_chunk
    args.width_log = min(width_log, max(0, (args.chunks - 1).bit_length()))
    width = 1 << args.width_log
    args.part = passes * (THREADS // width)
    args.parts = Quotient.of(-(-tokens // args.part))
    args.slabs_by = Quotient.of(-(-args.chunks // width))
    args.slabs = args.outer * args.slabs_by.by
    args.ahead = -(-multiprocessors * blocks_each // args.parts.by)
    args.spec = spec
    blocks = args.slabs * args.parts.by
    if back:
        return Launch("dequantize_columns", args, (blocks,), THREADS)
    words = 4 + args.slabs * (4 + (2 if shifted else 1) * of_chunk * width)
    return Launch("quantize_columns", args, (2 * blocks,), THREADS, 0, words)


def strip_launch(
    values: Operand,
    codes: Operand,
    scales: Operand,
    offsets: Operand | None,
    kind: int,
    packed: bool,
    shifted: bool,
    spec: QuantizeSpec,
    *,
    clusters: int = 2,
    width_log: int = 4,
    threads: int = 256,
) -> Launch:
    """By channel, in shared memory; loads of 16 bytes. A cluster is one block."""
    made = column_launch(
        values, codes, scales, offsets, kind, packed, shifted, 16, spec, False, width_log=width_log
    )
    args = made.args
    args.part, args.parts = args.tokens, Quotient.of(1)
    rows = threads >> args.width_log
    tile = -(-args.part // rows) * threads * 16
    channels = chunk_channels(kind, 16) << args.width_log
    # Words of a chunk's range on this target: halves apart, or as floats three for each channel.
    per_word = 4 // SIZES[kind]
    fields = 3 * per_word if shifted else per_word
    ranges = (threads // 32 + 2) * fields * (4 << args.width_log)
    shared = tile + 16 * channels + 4 * ranges + 4
    return Launch("quantize_strips", args, (min(clusters, args.slabs),), threads, shared)


class ConvertPaging(ctypes.Structure):
    _fields_ = [("block", Quotient), ("block_stride", i64), ("slot_stride", i64)]


class ConvertScale(ctypes.Structure):
    _fields_ = [
        ("data", u64), ("layer_step", i64), ("unit_step", i64), ("head_step", i64),
        ("number", ctypes.c_float), ("unused", i32),
    ]  # fmt: skip


class ConvertDim(ctypes.Structure):
    _fields_ = [
        ("size", Quotient), ("src", i64), ("dst", i64), ("src_head", i64), ("dst_head", i64),
    ]  # fmt: skip


class ConvertPlane(ctypes.Structure):
    _fields_ = [
        ("src", ConvertPaging), ("dst", ConvertPaging), ("dim", ConvertDim * 9),
        ("dims", u32), ("unused", u32), ("chunks", Quotient), ("runs", Quotient),
        ("src_scale", ConvertScale), ("dst_scale", ConvertScale),
        ("base", u32), ("unused_2", u32),
    ]  # fmt: skip


class ConvertPair(ctypes.Structure):
    _fields_ = [("src", i64), ("dst", i64)]


class ConvertArgs(ctypes.Structure):
    _fields_ = [
        ("plane", ConvertPlane * 2), ("bases", u64), ("base", u64 * 4),
        ("fault", u64), ("list", u64), ("slots", i64), ("slot_step", i64), ("first", i64),
        ("planes", u32), ("bases_each", u32), ("units", u32),
        ("form", i32), ("wide", i32), ("unused", i32), ("here", ConvertPair * 64),
    ]  # fmt: skip


COUNTED, PAIRS, SLOTS = range(3)


def fill_convert_plane(out: ConvertPlane, plane: Any, sizes: tuple[int, int], chunk: int) -> int:
    """An ``accel.kv.conversion.ElementPlane``; returns the chunks of a unit."""
    for side, paging, size in ((out.src, plane.src, sizes[0]), (out.dst, plane.dst, sizes[1])):
        side.block = Quotient.of(paging.block_size)
        side.block_stride = paging.block_stride * size
        side.slot_stride = paging.slot_stride * size
    chunks, runs = plane.run // chunk, 1
    assert chunks * chunk == plane.run
    out.dims = len(plane.dims)
    for d, (extent, src, dst, src_head, dst_head) in enumerate(plane.dims):
        out.dim[d] = ConvertDim(
            Quotient.of(extent), src * sizes[0], dst * sizes[1], src_head, dst_head
        )
        runs *= extent
    out.chunks, out.runs = Quotient.of(chunks), Quotient.of(runs)
    out.src_scale.number = out.dst_scale.number = 1.0
    return runs * chunks


def widest_chunk(plane: Any, sizes: tuple[int, int], addresses: Sequence[tuple[int, int]]) -> int:
    """Elements that are aligned as a whole on both sides."""
    steps = [*addresses]
    for name in ("block_stride", "slot_stride"):
        steps.append((getattr(plane.src, name) * sizes[0], getattr(plane.dst, name) * sizes[1]))
    steps += [(src * sizes[0], dst * sizes[1]) for _, src, dst, _, _ in plane.dims]
    chunk = min(32 // sizes[0], 16 // sizes[1])
    while chunk > 1 and (
        plane.run % chunk or any(a % (chunk * sizes[0]) or b % (chunk * sizes[1]) for a, b in steps)
    ):
        chunk //= 2
    return chunk
