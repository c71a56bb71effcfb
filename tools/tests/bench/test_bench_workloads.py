"""Every workload on a good backend, and on backends with one thing wrong."""

from __future__ import annotations

import pytest
import torch

from accel import AccelWarning, ArgumentError, Capability, OutOfMemoryError
from accel_tools.bench import suites
from accel_tools.bench.kv_setting import KVSetting
from accel_tools.bench.measure import Budget
from accel_tools.bench.rows import Status
from accel_tools.bench.runner import run_all, selected
from accel_tools.bench.shapes import SHAPES, KVShape
from accel_tools.bench.site import Site
from accel_tools.bench.suites import KVRequest, kv_suite, memcpy_suite
from accel_tools.bench.workload import Workload, run_workload

BUDGET = Budget(seconds=0.001, min_repeats=2, max_repeats=2, warmup=1, limit=1e9, pause=0.0)
SHAPE = KVShape("tiny", 3, 2, 8)
LATENT = KVShape("tiny-mla", 3, 1, 24, planes=1)
MAX = 4 << 20


def kv_rows(site, shape=SHAPE, tokens=(40,), layouts=("L | K B H D1 S D0",)):
    return kv_suite(site, KVRequest((shape,), tokens, layouts), 1 << 30)[0]


def kv_named(site, name, shape=SHAPE, **request):
    return next(w for w in kv_rows(site, shape, **request) if w.name.startswith(name))


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("kind", ["memcpy", "kv", "mla"])
def test_every_row_is_right_and_measured(lazy_backend, kind, separate):
    backend = lazy_backend()
    site = Site(backend, separate=separate)
    workloads = {
        "memcpy": lambda: list(memcpy_suite(site, MAX)),
        "kv": lambda: kv_rows(site),
        "mla": lambda: kv_rows(site, LATENT, layouts=()),
    }[kind]()
    assert len({w.name for w in workloads}) == len(workloads), "names are unique"
    rows = run_all(workloads, site, BUDGET)
    assert [r.reason for r in rows] == [""] * len(workloads)
    for row in rows:
        assert row.status is Status.OK
        assert row.checked == 2
        assert row.level == "composed"
        assert row.seconds.repeats == 2
        assert row.seconds.min <= row.seconds.median <= row.seconds.max
        assert row.gb_per_s == row.bytes / row.seconds.median / 1e9
        assert row.memcpy.ratio == row.memcpy.seconds.median / row.seconds.median
        for torch_way in row.torch:
            assert torch_way.ratio == torch_way.seconds.median / row.seconds.median
        if "submit" in row.name or (row.name.startswith("call: ") and kind != "memcpy"):
            assert row.clock == "host, submission only"
        else:
            assert row.clock == ("events" if separate else "host")
        wanted = "memcpy.copy," if row.clock == "host" else "memcpy.copy_async,"
        assert row.memcpy.what.startswith(wanted)
    assert not backend.streams.main.queue, "nothing is left undone"


def test_payloads_and_plain_copies_of_the_issue_shape(lazy_backend):
    site = Site(lazy_backend(), separate=True)
    shape = SHAPES["cpu-16x8x128"]
    rows = {w.name: w for w in kv_rows(site, shape, tokens=(2048,), layouts=())}
    payload = 16 * 2 * 8 * 128 * 2 * 2048
    assert rows["paged to contiguous in device memory, token grain, 2048 tokens"].bytes == payload
    assert rows["copy_blocks, 128 blocks"].bytes == payload
    assert rows["write, one layer, 2048 tokens"].bytes == payload // 16
    assert rows["call: contiguous to paged, 16 tokens"].bytes == payload // 128
    assert rows["swap_blocks out, device to pinned, 128 blocks"].bytes == payload


def test_memory_kinds_of_the_plain_copy(lazy_backend):
    site = Site(lazy_backend(), separate=True)
    for name, what in {
        "swap_blocks out": "device to pinned",
        "swap_blocks in": "pinned to device",
        "paged to contiguous in pinned": "device to pinned",
        "contiguous in pinned": "pinned to device",
        "paged to contiguous in device": "device to device",
    }.items():
        row = run_workload(kv_named(site, name), site, BUDGET)
        assert row.memcpy.what == f"memcpy.copy_async, {what}"
    flat = Site(lazy_backend(), separate=False)
    row = run_workload(kv_named(flat, "paged to contiguous"), flat, BUDGET)
    assert row.memcpy.what == "memcpy.copy, host to host"


def test_torch_is_compared_where_one_operator_does_it(lazy_backend):
    site = Site(lazy_backend())
    for name, what in {
        "paged to contiguous, token": ["index_select(out=) per layer", "index_select per layer"],
        "paged to contiguous, block": ["index_select(out=) per layer", "index_select per layer"],
        "contiguous to paged, token": ["index_copy_ per layer"],
        "gather": ["index_select(out=) per layer", "index_select per layer"],
        "write": ["index_copy_ per layer"],
        "NHD to HND": [],
    }.items():
        row = run_workload(kv_named(site, name), site, BUDGET)
        assert [c.what for c in row.torch] == what
        assert [c.allocates for c in row.torch] == [c == "index_select per layer" for c in what]


def test_torch_ways_do_the_same_work(lazy_backend):
    """What torch is timed on is the row's own task: its result passes the row's own check."""
    site = Site(lazy_backend())
    ways = 0
    for workload in [*memcpy_suite(site, MAX), *kv_rows(site)]:
        case = workload.prepare(site)
        if workload.needs[0] is Capability.KV_ENTROPY:
            continue  # other compressors, which write bytes of their own
        for way in case.torch_ways:
            case.reset()
            assert case.check(), "poison is no result"
            result = way.call()
            if way.allocates:
                case.torch_ways[0].call()  # writes what the other one returned
                assert sum(t.numel() * t.itemsize for t in result) == workload.bytes
            assert case.check() == "", workload.name
            ways += 1
    assert ways >= 20


def test_a_torch_that_lacks_the_operator_leaves_the_row_its_figures(lazy_backend, monkeypatch):
    site = Site(lazy_backend())

    def lacking(*args, **options):
        raise NotImplementedError("no kernel")

    monkeypatch.setattr(torch, "index_select", lacking)
    row = run_workload(kv_named(site, "call: paged to contiguous, 16"), site, BUDGET)
    assert row.status is Status.OK
    assert row.seconds is not None
    assert row.memcpy.ratio is not None
    for comparison in row.torch:
        assert (comparison.seconds, comparison.ratio) == (None, None)
        assert comparison.reason == "NotImplementedError: no kernel"


# --- one thing wrong ----------------------------------------------------------------------------


def skip_last(backend):
    good = backend.kv.transfer
    backend.kv.transfer = lambda s, d, a, b, **k: good(s, d, a[:-1], b[:-1], **k)


def shift_source(backend):
    good = backend.kv.transfer
    backend.kv.transfer = lambda s, d, a, b, **k: good(s, d, a.flip(0), b, **k)


def one_more(backend):
    good = backend.kv.transfer

    def transfer(src, dst, a, b, grain="token", **k):
        units = dst.slots if grain == "token" else dst.blocks
        free = next((u for u in range(units) if u not in b.tolist()), None)
        extra = torch.tensor([free]) if free is not None else b[:1]
        # Without a free unit there is nothing to overwrite: swap two instead.
        if free is None:
            return good(src, dst, a.flip(0), b, grain=grain, **k)
        return good(src, dst, torch.cat([a, a[:1]]), torch.cat([b, extra]), grain=grain, **k)

    backend.kv.transfer = transfer


def one_layer_less(backend):
    good = backend.kv.transfer
    backend.kv.transfer = lambda s, d, a, b, **k: good(
        s.select_layers(slice(0, -1)), d.select_layers(slice(0, -1)), a, b, **k
    )


def nothing_at_all(backend):
    backend.kv.transfer = lambda *a, **k: None


#: What the test backend does with its transfer.
MOVED_BY_TRANSFER = {
    Capability.KV_TRANSFER,
    Capability.KV_TRANSFER_BLOCKS,
    Capability.KV_COPY_BLOCKS,
    Capability.KV_SWAP_BLOCKS,
    Capability.KV_GATHER,
}


@pytest.mark.parametrize(
    "defect", [skip_last, shift_source, one_more, one_layer_less, nothing_at_all]
)
@pytest.mark.parametrize("separate", [False, True])
def test_a_wrong_transfer_is_a_wrong_row(lazy_backend, defect, separate):
    backend = lazy_backend()
    defect(backend)
    site = Site(backend, separate=separate)
    rows = run_all([w for w in kv_rows(site) if w.needs[0] in MOVED_BY_TRANSFER], site, BUDGET)
    # One token flipped is itself.
    exempt = "1 token" if defect is shift_source else "-"
    assert len(rows) > 15
    for row in rows:
        if not row.name.endswith(exempt):
            assert row.status is Status.WRONG, row.name
            assert "layer" in row.reason
            assert row.seconds is None, "a wrong result has no figure"


def wrong_plane(backend):
    good = backend.kv.write
    backend.kv.write = lambda c, la, k, v, s, **o: good(c, la, v, k, s, **o)


def wrong_layer(backend):
    good = backend.kv.write
    backend.kv.write = lambda c, la, k, v, s, **o: good(c, 0, k, v, s, **o)


def also_another_layer(backend):
    good = backend.kv.write

    def write(cache, layer, *rest, **options):
        good(cache, layer, *rest, **options)
        good(cache, 0, *rest, **options)

    backend.kv.write = write


@pytest.mark.parametrize("defect", [wrong_plane, wrong_layer, also_another_layer])
@pytest.mark.parametrize("name", ["write", "quantized write, int8", "call: quantized write"])
def test_a_wrong_write_is_a_wrong_row(lazy_backend, defect, name):
    backend = lazy_backend()
    defect(backend)
    site = Site(backend)
    row = run_workload(kv_named(site, name), site, BUDGET)
    assert row.status is Status.WRONG
    if defect is also_another_layer:
        assert row.reason.startswith("layer 0 plane 0: slot")


def another_scale(good, src, dst, src_scale=None, dst_scale=None, **k):
    by = {"src_scale": src_scale, "dst_scale": dst_scale}
    good(src, dst, **{n: None if s is None else 1.5 * s for n, s in by.items()}, **k)


def fewer_layers(good, src, dst, **k):
    good(src.select_layers(slice(0, -1)), dst.select_layers(slice(0, -1)), **k)


@pytest.mark.parametrize("defect", [another_scale, fewer_layers])
def test_a_wrong_conversion_is_a_wrong_row(lazy_backend, defect):
    backend = lazy_backend()
    good = backend.kv.convert
    site = Site(backend)
    name = "convert bfloat16 to float8_e4m3fn"
    assert run_workload(kv_named(site, name), site, BUDGET).status is Status.OK
    backend.kv.convert = lambda src, dst, **k: defect(good, src, dst, **k)
    assert run_workload(kv_named(site, name), site, BUDGET).status is Status.WRONG


def test_wrong_coding_is_a_wrong_row(lazy_backend):
    site = Site(lazy_backend())
    kv = site.backend.kv
    names = {w.name: w for w in kv_rows(site) if w.needs[0] is Capability.KV_ENTROPY}
    assert [name.partition(",")[0] for name in names] == ["entropy_model", "encode", "decode"] * 2

    def run(what):
        row = run_workload(next(w for n, w in names.items() if n.startswith(what)), site, BUDGET)
        return row.status

    assert [run(what) for what in ("entropy_model", "encode", "decode")] == [Status.OK] * 3
    model, encode, decode = kv.entropy_model, kv.encode, kv.decode
    kv.entropy_model = lambda symbols, bins, **k: model(symbols.roll(1, 2), bins, **k)
    assert run("entropy_model") is Status.WRONG
    kv.entropy_model = model
    kv.encode = lambda symbols, *a, out=None, **k: encode(
        symbols if out is None else symbols.roll(1, 1), *a, out=out, **k
    )
    assert run("encode") is Status.WRONG
    kv.encode = encode
    kv.decode = lambda data, m, out, **k: decode(data.roll(1), m, out, **k)
    assert run("decode") is Status.WRONG


@pytest.mark.parametrize("method", ["copy_async", "copy_batch", "copy_2d", "fill"])
def test_a_wrong_copy_is_a_wrong_row(lazy_backend, method):
    backend = lazy_backend()
    good = getattr(backend.memcpy, method)

    def bad(dst, value, stream=None, **options):
        good(dst, value, stream=stream, **options)
        first = dst[-1] if isinstance(dst, list) else dst
        first = getattr(first, "owner", first)

        def flip():
            first.view(-1)[-1] ^= 1

        (stream or backend.streams.main).push(flip)

    setattr(backend.memcpy, method, bad)
    site = Site(backend)
    needs = {
        "copy_async": {Capability.COPY, Capability.COPY_RAW},
        "copy_batch": {Capability.COPY_BATCH},
        "copy_2d": {Capability.COPY_2D},
        "fill": {Capability.FILL},
    }[method]
    rows = run_all([w for w in memcpy_suite(site, MAX) if w.needs[0] in needs], site, BUDGET)
    assert rows
    for row in rows:
        assert row.status is Status.WRONG, row.name
        assert row.reason.startswith("byte ")


def test_a_result_that_goes_wrong_later_is_wrong(lazy_backend):
    backend = lazy_backend()
    good, calls = backend.kv.transfer, []

    def transfer(src, dst, a, b, **options):
        calls.append(1)
        if len(calls) <= 3:
            good(src, dst, a, b, **options)

    backend.kv.transfer = transfer
    site = Site(backend)
    row = run_workload(kv_named(site, "paged to contiguous"), site, BUDGET)
    assert row.status is Status.WRONG
    assert row.reason.startswith("after 2 repeats: layer 0")


# --- what cannot run ----------------------------------------------------------------------------


def test_an_unclaimed_capability_is_a_row_with_its_reason(lazy_backend):
    backend = lazy_backend(without=[Capability.KV_WRITE, Capability.COPY_2D])
    backend.kv.write = backend.memcpy.copy_2d = None  # not called at all
    site = Site(backend)
    row = run_workload(kv_named(site, "write"), site, BUDGET)
    assert row.status is Status.UNSUPPORTED
    assert row.reason == "backend 'lazy' does not claim kv.write"
    assert row.level == "unsupported"
    assert not row.status.failed
    rows = run_all(selected(memcpy_suite(site, MAX), ["2-D"]), site, BUDGET)
    assert {r.status for r in rows} == {Status.UNSUPPORTED}


def test_without_copy_no_ratio_can_be_had(lazy_backend):
    site = Site(lazy_backend(without=[Capability.COPY]))
    row = run_workload(kv_named(site, "write"), site, BUDGET)
    assert row.status is Status.UNSUPPORTED
    assert "memcpy.copy" in row.reason


def test_without_a_pool_host_memory_is_plain(lazy_backend):
    site = Site(lazy_backend(without=[Capability.PINNED]), separate=True)
    site.backend.pinned.empty = None
    rows = run_all([*kv_rows(site, layouts=()), *memcpy_suite(site, MAX)], site, BUDGET)
    assert {r.status for r in rows} == {Status.OK}
    assert any("device to host" in r.name for r in rows)
    assert not any("pinned" in r.name for r in rows)


def test_without_event_timing_the_host_clock_is_used(lazy_backend):
    site = Site(lazy_backend(without=[Capability.EVENT_TIMING]), separate=True)
    row = run_workload(kv_named(site, "paged to contiguous"), site, BUDGET)
    assert row.clock == "host"
    assert row.memcpy.what == "memcpy.copy, device to device"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ArgumentError("src", "this", "that"), Status.ERROR),
        (ZeroDivisionError("oops"), Status.ERROR),
        (OutOfMemoryError("the bound is 3"), Status.SKIPPED),
        (MemoryError("host"), Status.SKIPPED),
        (torch.OutOfMemoryError("device"), Status.SKIPPED),
    ],
)
def test_what_is_raised_is_in_the_row(lazy_backend, error, status):
    backend = lazy_backend()

    def transfer(*args, **options):
        raise error

    backend.kv.transfer = transfer
    site = Site(backend)
    row = run_workload(kv_named(site, "paged to contiguous"), site, BUDGET)
    assert row.status is status
    assert row.status.failed == (status is Status.ERROR)
    assert row.reason == f"{type(error).__name__}: {error}"


def test_what_ends_the_process_passes_through(lazy_backend):
    backend = lazy_backend()

    def transfer(*args, **options):
        raise KeyboardInterrupt

    backend.kv.transfer = transfer
    site = Site(backend)
    with pytest.raises(KeyboardInterrupt):
        run_workload(kv_named(site, "paged to contiguous"), site, BUDGET)


def test_too_large_for_the_memory_is_skipped_before_allocating(lazy_backend):
    def prepare(site):
        raise AssertionError("must not be reached")

    workload = Workload("big", (Capability.COPY,), 1 << 20, 6 << 20, prepare)
    row = run_workload(workload, Site(lazy_backend()), BUDGET, memory=5 << 20)
    assert row.status is Status.SKIPPED
    assert row.reason == "takes about 6 MiB of 5 MiB"


# --- what is asked for --------------------------------------------------------------------------


def test_token_counts_are_bounded_by_the_payload(lazy_backend):
    site = Site(lazy_backend())
    shape = SHAPES["llama-3-8b"]
    workloads, left_out = kv_suite(site, KVRequest((shape,), (256, 2048, 8192)), 256 << 20)
    assert {w.labels["tokens"] for w in workloads} == {1, 16, 64, 256, 2048}
    assert left_out == [
        "llama-3-8b, 8192 tokens: a payload of 1,073,741,824 bytes exceeds --max-bytes 256 MiB"
    ]
    layouts = [w for w in workloads if "HND" in w.name]
    assert {w.labels["tokens"] for w in layouts} == {2048}
    assert all(w.bytes <= 256 << 20 for w in memcpy_suite(site, 256 << 20))


def test_only_large_counts_use_the_smallest_of_them():
    assert suites._one_count((4096, 8192)) == 4096
    assert suites._one_count((1, 256, 2048, 8192)) == 2048


def test_random_units_are_distinct_spread_and_the_same_for_a_seed(lazy_backend):
    site, other = Site(lazy_backend(), seed=1), Site(lazy_backend(), seed=2)
    setting = KVSetting(SHAPE, 40)
    slots = setting.random_units(site, "token", "x")
    assert len(set(slots.tolist())) == 40
    assert slots.max() < 2 * 3 * 16
    assert slots.tolist() != sorted(slots.tolist())
    assert torch.equal(slots, setting.random_units(site, "token", "x"))
    assert not torch.equal(slots, setting.random_units(other, "token", "x"))
    blocks = setting.random_units(site, "block", "x")
    assert len(blocks) == 3
    tokens = setting.token_slots(blocks, "block").tolist()
    assert tokens == [b * 16 + s for b in blocks.tolist() for s in range(16)]


def test_block_grain_moves_whole_blocks(lazy_backend):
    site = Site(lazy_backend())
    row = kv_named(site, "paged to contiguous, block", tokens=(33,))
    assert row.name.endswith("48 tokens")
    assert row.bytes == 48 * SHAPE.token_bytes


def test_patterns_select(lazy_backend):
    site = Site(lazy_backend())
    names = [w.name for w in selected(kv_rows(site), ["write, one", "call:* to *16 tokens"])]
    assert names == [
        "write, one layer, 40 tokens",
        "call: paged to contiguous, 16 tokens",
        "call: contiguous to paged, 16 tokens",
    ]


def test_torch_keeps_its_threads(lazy_backend):
    """What is measured runs with torch's own number of threads, and it is there after."""
    backend, seen = lazy_backend(), []
    good = backend.kv.transfer

    def transfer(*args, **options):
        seen.append(torch.get_num_threads())
        good(*args, **options)

    backend.kv.transfer = transfer
    torch.set_num_threads(3)  # the fixture of all tests here restores it
    site = Site(backend)
    assert run_workload(kv_named(site, "paged to contiguous"), site, BUDGET).status is Status.OK
    assert set(seen) == {3}
    assert torch.get_num_threads() == 3


def test_no_warning_is_given(lazy_backend, recwarn):
    site = Site(lazy_backend())
    run_all(kv_rows(site)[:2], site, BUDGET)
    assert not [w for w in recwarn if issubclass(w.category, AccelWarning)]
