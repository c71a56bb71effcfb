"""What overlaps with what, to the millisecond: in virtual time, against a model of its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel import Capability, LayerPipeline, StateError


def layers_of(*milliseconds):
    return [torch.zeros(int(m * 1000), dtype=torch.uint8) for m in milliseconds]


def run(backend, pipe, lengths):
    for _, length in zip(pipe, lengths, strict=True):
        backend.streams.main.work(length)
    return pipe.report()


def model(copies, computes, ahead, back=()):
    """Ends of the computes and of the copies back, by the recurrence that the pipe promises."""
    copied, computed, written = [], [], []
    slots = min(ahead + 1 + bool(back), len(copies))
    engine = back_engine = 0.0
    for i, copy in enumerate(copies):
        # Into the slot of layer i - slots, once that is free.
        free = 0.0
        if i >= slots:
            free = written[i - slots] if back else computed[i - slots]
        engine = max(engine, free) + copy
        copied.append(engine)
        start = max(copied[i], computed[i - 1] if i else 0.0)
        computed.append(start + computes[i])
        if back:
            back_engine = max(back_engine, computed[i]) + back[i]
            written.append(back_engine)
    return computed, written


def test_one_ahead_hides_all_but_the_first(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(*[5] * 10), 1) as pipe:
        report = run(backend, pipe, [6] * 10)
    assert report.elapsed_ms == 65
    assert (report.copy_ms, report.compute_ms, report.exposed_ms) == (50, 60, 5)
    assert report.hidden == pytest.approx(0.9)
    assert report.hidden_after_first == 1.0
    assert [x.wait_ms for x in report.layers] == [5] + [0] * 9
    assert report.layers[3].copy == (17, 22)  # when layer 1 was done, into its slot
    assert report.layers[3].compute == (23, 29)


def test_copies_that_take_longer_show_by_the_difference(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(*[10] * 8), 2) as pipe:
        report = run(backend, pipe, [6] * 8)
    assert report.elapsed_ms == 8 * 10 + 6
    assert [x.exposed_ms for x in report.layers] == [10] + [4] * 7
    assert report.hidden_after_first == pytest.approx(0.6)


def test_synchronous_is_the_sum(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(*[5] * 6), synchronous=True, write_back=True) as pipe:
        report = run(backend, pipe, [7] * 6)
    assert report.mode == "synchronous"
    assert report.elapsed_ms == 6 * (5 + 7 + 5)
    assert report.hidden == report.hidden_after_first == 0.0
    assert report.exposed_ms == report.copy_ms == 30


def test_copies_that_hold_up_the_host_are_not_hidden(virtual):
    backend = virtual()
    backend.streams.inline = True
    with LayerPipeline(backend, layers_of(*[5] * 6), 2) as pipe:
        report = run(backend, pipe, [7] * 6)
    assert report.elapsed_ms == 6 * (5 + 7)
    assert report.hidden == report.hidden_after_first == 0.0
    assert [x.wait_ms for x in report.layers] == [15, 5, 5, 5, 0, 0]


def test_the_first_fill_hides_behind_what_came_before(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(*[5] * 4)) as pipe:
        pipe.prefetch()
        backend.streams.main.work(100)
        report = run(backend, pipe, [6] * 4)
        assert report.hidden == 1.0
        assert report.elapsed_ms == 24
        pipe.prefetch()
        pipe.prefetch()
        again = run(backend, pipe, [6] * 4)
    assert again.hidden == 1.0  # behind the end of the pass before
    assert again.elapsed_ms == 24


def test_without_prefetch_copies_come_after_what_came_before(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(5, 5)) as pipe:
        backend.streams.main.work(100)
        report = run(backend, pipe, [6, 6])
    assert report.layers[0].exposed_ms == 5
    assert report.elapsed_ms == 5 + 12


def test_leaving_in_the_last_layer_is_leaving_early(virtual):
    with LayerPipeline(virtual(), layers_of(5, 5)) as pipe:
        for layer in pipe:
            if layer.index == 1:
                break
    assert not pipe.report().complete


def test_copies_back_run_beside_copies_in(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(*[5] * 10), 1, write_back=True) as pipe:
        report = run(backend, pipe, [6] * 10)
    assert report.hidden_after_first == 1.0
    assert report.elapsed_ms == 5 + 60 + 5  # the last copy back has nothing to hide behind
    assert report.write_back_ms == 50


def test_an_early_release_lets_the_next_copy_in(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(5, 5, 5), 1) as pipe:
        for layer in pipe:
            backend.streams.main.work(2)
            layer.release()
            backend.streams.main.work(9)
        report = pipe.report()
    assert report.layers[2].copy == (10, 15)  # released at 7, while the copy stream was busy
    assert report.layers[0].compute == (5, 7)
    assert [x.wait for x in report.layers] == [(0, 5), (16, 16), (27, 27)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)),
        min_size=1, max_size=12,
    ),
    st.integers(1, 5),
    st.booleans(),
)  # fmt: skip
def test_schedule_is_the_model(virtual, work, ahead, write_back):
    backend = virtual()
    copies, computes = [w[0] for w in work], [w[1] for w in work]
    # In virtual time a copy back takes as long as the copy in: the bytes are the same.
    with LayerPipeline(backend, layers_of(*copies), ahead, write_back=write_back) as pipe:
        report = run(backend, pipe, computes)
    computed, written = model(copies, computes, ahead, copies if write_back else ())
    assert [x.compute[1] for x in report.layers] == computed
    if write_back:
        assert [x.write_back[1] for x in report.layers] == written
    assert report.elapsed_ms == max([computed[-1], *written])
    covered = all(computes[i] >= max(copies) for i in range(len(work)))
    if covered and not write_back and report.hidden_after_first is not None:
        assert report.hidden_after_first == 1.0
    exposed = sum(x.exposed_ms for x in report.layers)
    assert exposed <= sum(x.wait_ms for x in report.layers) + 1e-9


def test_without_timing_the_report_says_so(virtual):
    for backend, options, said in (
        (virtual(without=[Capability.EVENT_TIMING]), {}, "does not support events.timing"),
        (virtual(), {"timing": False}, "timing=False"),
    ):
        with LayerPipeline(backend, layers_of(5, 5), **options) as pipe:
            report = run(backend, pipe, [6, 6])
        assert len(report.notes) == 1
        assert said in report.notes[0]
        assert said in str(report)
        layer = report.layers[1]
        assert (layer.copy, layer.copy_ms, layer.compute_ms, layer.hidden) == (None,) * 4
        assert (report.elapsed_ms, report.hidden, report.copy_ms) == (None, None, None)
        assert layer.submit_ms > 0
        assert report.nbytes == 10_000


def test_a_pass_left_early_reports_what_there_was(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(*[5] * 6), 2) as pipe:
        for layer in pipe:
            if layer.index == 1:
                break
            backend.streams.main.work(6)
        with pytest.raises(StateError, match="no pass"):
            pipe.report()
    report = pipe.report()
    assert not report.complete
    assert [x.index for x in report.layers] == [0, 1, 2, 3]
    assert [x.compute is None for x in report.layers] == [False, False, True, True]
    assert report.layers[3].copy == (15, 20)
    assert report.elapsed_ms == 20


def test_the_report_is_of_the_last_pass_that_ended(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(5, 5, 5)) as pipe:
        made = []
        for number in range(5):
            assert run(backend, pipe, [number + 1] * 3).compute_ms == 3 * (number + 1)
            pipe.prefetch()
            assert pipe.report().compute_ms == 3 * (number + 1)
            made.append(backend.events_made())
        for layer in pipe:
            backend.streams.main.work(50)
            assert pipe.report().compute_ms == 15
            if layer.index == 1:
                break
    assert pipe.report().compute_ms == 100
    assert made[1:] == made[1:2] * 4, "events are made for two passes and used again"


def test_json_and_text(virtual):
    backend = virtual()
    with LayerPipeline(backend, [*layers_of(5, 0), torch.zeros(2, 500)], 1) as pipe:
        report = run(backend, pipe, [6, 6, 6])
    document = report.as_json()
    assert document["layers"][0]["copy"] == (0, 5)
    assert document["layers"][1]["hidden"] is None  # nothing was copied
    assert document["layers"][2]["nbytes"] == 4000
    assert document["mode"] == "pipelined"
    assert {"hidden", "hidden_after_first", "elapsed_ms", "submit_ms"} <= set(document)
    lines = str(report).splitlines()
    assert len(lines) == 1 + 3 + 1 + 1
    assert "after the first layer 100.0% hidden" in lines[-1]


def test_a_copy_that_fails_leaves_the_pipe_usable(virtual):
    backend = virtual()
    layers = layers_of(5, 5, 5, 5)
    with LayerPipeline(backend, layers, 1) as pipe:
        backend.memcpy.fail_at = 3
        with pytest.raises(RuntimeError, match="holiday"):
            run(backend, pipe, [6] * 4)
        assert run(backend, pipe, [6] * 4).elapsed_ms == 29
    assert pipe.report().complete


def test_priorities_and_streams(virtual):
    backend = virtual()
    with LayerPipeline(backend, layers_of(5), priority=-3, write_back=True):
        pass
    assert [s.priority for s in backend.streams.streams[1:]] == [-3, -3]
