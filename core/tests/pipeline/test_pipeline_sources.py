"""What is accepted as layers, what is refused, and how a closed pipe behaves."""

from __future__ import annotations

import gc

import pytest
import torch

import accel
from accel import CapabilityError, LayerPipeline
from accel.capabilities import Capability
from accel.pipeline.sources import ALIGNMENT, host_layers

X = torch.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("layers", "error", "argument", "said"),
    [
        ([], accel.ArgumentError, "layers", "at least one layer"),
        (X, accel.DTypeError, "layers", "list(tensor.unbind(0))"),
        ((x for x in [X]), accel.DTypeError, "layers", "list(layers)"),
        (None, accel.DTypeError, "layers", "NoneType"),
        ([X, "weights"], accel.DTypeError, "layers[1]", "list, tuple or dict of tensors"),
        ([X, []], accel.ArgumentError, "layers[1]", "none"),
        ([{}], accel.ArgumentError, "layers[0]", "none"),
        ([X, (X, None)], accel.DTypeError, "layers[1][1]", "a tensor, given NoneType"),
        ([{"w": X, "b": [X]}], accel.DTypeError, "layers[0]['b']", "list"),
        ([X.to("meta")], accel.DeviceError, "layers[0]", "tensor.cpu()"),
        ([X, [X, X.to("meta")]], accel.DeviceError, "layers[1][1]", "on meta"),
        ([X.to_sparse()], accel.DTypeError, "layers[0]", "sparse"),
        ([torch.view_as_complex(X.view(6, 2)).conj()], accel.DTypeError, "layers[0]", "resolve"),
    ],
)
def test_refused_layers(virtual, layers, error, argument, said):
    backend = virtual()
    with pytest.raises(error) as caught:
        LayerPipeline(backend, layers)
    assert caught.value.argument == argument
    assert said in str(caught.value)
    assert backend.events_made() == 0
    assert len(backend.streams.streams) == 1


@pytest.mark.parametrize("ahead", [0, -1, 1.5, True, None])
def test_refused_ahead(virtual, ahead):
    with pytest.raises(accel.ArgumentError, match="ahead: expected a number of layers"):
        LayerPipeline(virtual(), [X], ahead)


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([X, X], "layers[1]"),
        ([X[:2], [X.clone(), X[1:]]], "layers[1][1]"),
        ([X, X.view(torch.int32).view(4, 3)], "layers[1]"),
        ([X[:, 0:3:2], X[:, 2]], "layers[1]"),
        ([X, X.new_ones(1, 4).expand(3, 4)], "layers[1]"),
        ([torch.arange(9.0).as_strided((4, 3), (2, 1))], "layers[0]"),
    ],
)
def test_write_back_needs_memory_of_its_own(virtual, layers, name):
    with pytest.raises(accel.OverlapError) as caught:
        LayerPipeline(virtual(), layers, write_back=True)
    assert caught.value.argument == name
    LayerPipeline(virtual(), layers).close()


def test_write_back_tells_interleaved_layers_apart(virtual):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    layers = [whole[:, i] for i in range(3)]  # layers in each other's gaps
    want = whole + 1
    with LayerPipeline(virtual(), layers, 1, write_back=True) as pipe:
        for layer in pipe:
            layer.tensors += 1
    assert torch.equal(whole, want)


@pytest.mark.parametrize("missing", [Capability.STREAMS, Capability.EVENTS, Capability.COPY])
def test_missing_capability(virtual, missing):
    with pytest.raises(CapabilityError, match=str(missing)):
        LayerPipeline(virtual(without=[missing]), [X])


def test_without_batches_each_tensor_is_copied(virtual):
    backend = virtual(without=[Capability.COPY_BATCH])
    with LayerPipeline(backend, [[X, X + 1], X + 2]) as pipe:
        got = [[t.clone() for t in x.tensors] if x.index == 0 else x.tensors.clone() for x in pipe]
    assert torch.equal(got[0][1], X + 1)
    assert torch.equal(got[1], X + 2)
    assert backend.memcpy.calls == 3


def test_forms_come_back_as_given(virtual):
    layers = [X, [X, X], (X,), {"w": X, 7: X.to(torch.int8)}, {"empty": X[:0], "scalar": X[1, 2]}]
    with LayerPipeline(virtual(), layers) as pipe:
        assert len(pipe) == 5
        kinds = []
        for layer in pipe:
            kinds.append(type(layer.tensors))
            given = layers[layer.index]
            if isinstance(given, dict):
                assert list(layer.tensors) == list(given)
                assert all(torch.equal(layer.tensors[k], given[k]) for k in given)
                assert all(layer.tensors[k].dtype == given[k].dtype for k in given)
    assert kinds == [torch.Tensor, tuple, tuple, dict, dict]


def test_ring_is_sized_for_the_largest_layer(virtual):
    sizes = [10, 1000, 300]
    layers = [torch.zeros(n, dtype=torch.uint8) for n in sizes]
    for ahead, slots in ((1, 2), (2, 3), (9, 3)):
        with LayerPipeline(virtual(), layers, ahead) as pipe:
            assert pipe.device_bytes == slots * 1000
            assert f"{slots * 1000} bytes" in repr(pipe)
        assert pipe.device_bytes == 0
        assert "closed" in repr(pipe)
    laid = host_layers([[X[:1, :1], X]])[0]
    assert laid.offsets == (0, ALIGNMENT)
    assert (laid.nbytes, laid.room) == (52, ALIGNMENT + 48)


def test_strided_sources_arrive_contiguous(virtual):
    layers = [X.t(), X[:, ::2], X.expand(2, 3, 4), torch.nn.Parameter(X.clone())]
    with LayerPipeline(virtual(), layers) as pipe:
        for layer in pipe:
            assert layer.tensors.is_contiguous()
            assert not layer.tensors.requires_grad
            assert torch.equal(layer.tensors, layers[layer.index])


def test_a_ring_that_does_not_fit_says_how_large_it_was(virtual, monkeypatch):
    def refuse(*args, **kwargs):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(accel.OutOfMemoryError, match="3 slots of 48 bytes"):
        LayerPipeline(virtual(), [X, X, X])


def test_closed(virtual):
    pipe = LayerPipeline(virtual(), [X, X])
    iterator = iter(pipe)
    layer = next(iterator)
    pipe.close()
    pipe.close()
    for call in (lambda: iter(pipe), pipe.prefetch, pipe.__enter__, layer.release):
        with pytest.raises(accel.StateError):
            call()
    with pytest.raises(accel.StateError, match="closed, or another pass was begun"):
        next(iterator)


def test_one_pass_at_a_time(virtual):
    with LayerPipeline(virtual(), [X, X, X]) as pipe:
        first = iter(pipe)
        kept = next(first)
        second = iter(pipe)
        next(second)
        with pytest.raises(accel.StateError):
            next(first)
        with pytest.raises(accel.StateError):
            kept.release()
        assert [x.index for x in second] == [1, 2]
        assert list(second) == []
        with pytest.raises(accel.StateError):
            LayerPipeline(virtual(), [X], synchronous=True).prefetch()


def test_a_pipe_that_is_dropped_open_warns_and_closes(virtual):
    pipes = [LayerPipeline(virtual(), [X, X])]
    ring = pipes[0]._lanes.ring
    with pytest.warns(ResourceWarning, match="was not closed"):
        pipes.clear()
    assert ring.slots == ()


def test_nothing_keeps_a_closed_pipe(virtual):
    import weakref

    gc.disable()
    try:
        pipe = LayerPipeline(virtual(), [X, X])
        with pipe:
            for layer in pipe:
                ghost = weakref.ref(layer.tensors)
        gone = weakref.ref(pipe)
        del pipe, layer
        assert gone() is None
        assert ghost() is None
    finally:
        gc.enable()
