"""HostStaging: arguments, errors of the host's part, its life, and a backend without callbacks."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import accel
from accel import Capability, HostStaging


@pytest.fixture(scope="module")
def backend() -> accel.Backend:
    return accel.get_backend("cpu")


@pytest.fixture(params=[True, False], ids=["direct", "ring"])
def staging(backend: accel.Backend, request: pytest.FixtureRequest) -> Iterator[HostStaging]:
    with HostStaging(backend, chunk_bytes=4096, direct=request.param) as made:
        yield made


WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    ([1.0], None, accel.DTypeError, "x: expected a tensor"),
    (torch.zeros(4).to_sparse(), None, accel.DTypeError, "strided"),
    (torch.zeros(4, dtype=torch.complex64).conj(), None, accel.DTypeError, "resolve_conj"),
    (torch.zeros(4, device="meta"), None, accel.DeviceError, "x: .*meta"),
    (torch.zeros(4), torch.zeros(4, device="meta"), accel.DeviceError, "out: .*host memory"),
    (torch.zeros(4), torch.zeros(2, 2), accel.ShapeError, "out"),
    (torch.zeros(4), torch.zeros(4).double(), accel.DTypeError, "out"),
    (torch.zeros(4), torch.zeros(1).expand(4), accel.OverlapError, "distinct elements"),
    (torch.zeros(4), "out", accel.DTypeError, "out: expected a tensor"),
]


@pytest.mark.parametrize(("x", "out", "error", "match"), WRONG)
def test_refused_to_host(staging: HostStaging, x: Any, out: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        staging.copy_to_host_async(x, out)


def test_refused_to_device(staging: HostStaging) -> None:
    with pytest.raises(accel.DeviceError, match="src"):
        staging.copy_to_device_async(torch.zeros(4, device="meta"), torch.zeros(4))
    with pytest.raises(accel.ShapeError, match=r"out: expected .* as src has"):
        staging.copy_to_device_async(torch.zeros(4), torch.zeros(5))
    with pytest.raises(accel.DTypeError, match="stream"):
        staging.copy_to_device_async(torch.zeros(4), torch.zeros(4), 5)  # type: ignore[arg-type]


def test_freed_and_overlapping(staging: HostStaging) -> None:
    whole = torch.zeros(10)
    with pytest.raises(accel.OverlapError, match="common byte"):
        staging.copy_to_host_async(whole[:6], whole[4:])
    # Every other element of one allocation: no byte in common.
    staging.copy_to_host_async(whole[::2], whole[1::2]).wait()
    gone = torch.zeros(10)
    gone.untyped_storage().resize_(0)
    with pytest.raises(accel.FreedError):
        staging.copy_to_host_async(gone)
    with pytest.raises(accel.FreedError):
        staging.copy_to_host_async(torch.zeros(10), gone)


def test_sizes_that_are_none(backend: accel.Backend) -> None:
    for wrong, error in (
        ({"chunk_bytes": 100}, accel.ArgumentError), ({"buffers": 0}, accel.ArgumentError),
        ({"chunk_bytes": 1e6}, accel.DTypeError), ({"buffers": True}, accel.DTypeError),
    ):  # fmt: skip
        with pytest.raises(error, match=next(iter(wrong))):
            HostStaging(backend, **wrong)  # type: ignore[arg-type]


def test_the_ring_needs_pinned_memory() -> None:
    reference = accel.get_backend("cpu-reference")
    with pytest.raises(accel.CapabilityError, match="pinned"):
        HostStaging(reference, direct=False)
    with HostStaging(reference) as staging:
        assert staging.nbytes == 0
        assert staging.copy_to_host_async(torch.arange(5)).result().tolist() == [0, 1, 2, 3, 4]


def test_modes_of_autograd(staging: HostStaging) -> None:
    x = torch.randn(3000, requires_grad=True)
    with torch.inference_mode():
        out = torch.zeros(3000)
    got = staging.copy_to_host_async(x, out).result()
    assert got is out
    assert torch.equal(got, x.detach())
    leaf = torch.zeros(3000, requires_grad=True)
    staging.copy_to_device_async(out, leaf).wait()
    assert torch.equal(leaf.detach(), out)


def test_an_error_of_the_hosts_part(backend: accel.Backend, monkeypatch: Any) -> None:
    """It is the copy's, at every wait, and no other copy's; the ring goes on."""
    stream = backend.streams.create()
    gate = threading.Event()
    with HostStaging(backend, chunk_bytes=4096, direct=False) as staging:
        stream.add_callback(gate.wait)
        x = torch.randn(5000)
        out = torch.zeros(5000)
        bad = staging.copy_to_host_async(x, out, stream)
        out.untyped_storage().resize_(0)  # what no caller should do
        good = staging.copy_to_host_async(x, stream=stream)
        assert not bad.query()
        gate.set()
        for _ in range(2):
            with pytest.raises(accel.AsyncError, match="contents are undefined") as caught:
                bad.result()
            assert isinstance(caught.value.__cause__, accel.FreedError)
        assert bad.query()
        assert torch.equal(good.result(), x)
    backend.streams.synchronize()  # nothing is left for others to hear of


def test_closed(backend: accel.Backend) -> None:
    gc.collect()
    before = backend.pinned.stats().in_use
    staging = HostStaging(backend, chunk_bytes=8192, buffers=3, direct=False)
    assert staging.nbytes == 3 * 8192
    assert backend.pinned.stats().in_use == before + 3 * 8192
    x = torch.randn(100_000)
    copy = staging.copy_to_host_async(x)
    staging.close()
    staging.close()
    assert copy.query()
    assert torch.equal(copy.result(), x)
    with pytest.raises(accel.StateError, match="closed"):
        staging.copy_to_host_async(x)
    gc.collect()
    assert (staging.nbytes, backend.pinned.stats().in_use) == (0, before)


def test_dropped_without_closing(backend: accel.Backend) -> None:
    """Copies under way end well, and the ring goes back to the pool."""
    gc.collect()
    before = backend.pinned.stats().in_use
    stream = backend.streams.create()
    gate = threading.Event()
    stream.add_callback(gate.wait)
    x = torch.randn(50_000)
    staging = HostStaging(backend, chunk_bytes=4096, direct=False)
    copy = staging.copy_to_host_async(x, stream=stream)
    ghost = weakref.ref(staging)
    del staging
    gc.collect()
    assert ghost() is None
    gate.set()
    assert torch.equal(copy.result(), x)
    backend.streams.synchronize()
    gc.collect()
    assert backend.pinned.stats().in_use == before


class _Without:
    """A backend that lacks a capability."""

    def __init__(self, backend: accel.Backend, missing: Capability) -> None:
        self._backend = backend
        levels = {c: backend.capabilities[c] for c in backend.capabilities if c is not missing}
        self.capabilities = accel.Capabilities(levels)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def test_without_callbacks(backend: accel.Backend) -> None:
    """The calling thread moves the host's part: slower, and said so, but the same bytes."""
    lacking: Any = _Without(backend, Capability.STREAM_CALLBACK)
    stream = backend.streams.create()
    with HostStaging(lacking, chunk_bytes=4096, direct=False) as staging:
        x = torch.randn(30, 1000)[:, ::3]
        copy = staging.copy_to_host_async(x, stream=stream)
        assert copy.query()
        assert torch.equal(copy.result(), x)
        out = torch.zeros_like(x)
        staging.copy_to_device_async(copy.result(), out, stream)
        stream.synchronize()
        assert torch.equal(out, x)


@pytest.mark.parametrize(
    "missing", [Capability.STREAMS, Capability.EVENTS, Capability.COPY], ids=str
)
def test_what_it_cannot_do_without(backend: accel.Backend, missing: Capability) -> None:
    lacking: Any = _Without(backend, missing)
    with pytest.raises(accel.CapabilityError, match=str(missing)):
        HostStaging(lacking)


def test_threads(staging: HostStaging, backend: accel.Backend) -> None:
    """Four threads copy to the host and back through one ring, each on a stream of its own."""
    errors: list[BaseException] = []

    def work(name: int) -> None:
        try:
            stream = backend.streams.create()
            for i in range(25):
                x = torch.full((700 * (i % 5) + name,), float(name * 1000 + i))
                host = staging.copy_to_host_async(x, stream=stream).result()
                back = torch.zeros_like(x)
                staging.copy_to_device_async(host, back, stream).wait()
                assert torch.equal(back, x)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
