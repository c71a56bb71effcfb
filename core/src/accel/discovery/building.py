"""Build a backend: call one plugin's factories, and the kernel packs that may override them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backend import AREAS, Backend, Override
from ..capabilities import Capabilities
from ..devices import DeviceSpec
from ..errors import TorchImportError
from ..interpose.switches import apply_switches
from ..torch_import import import_torch
from ..warn_once import warn_once
from .candidate import Candidate, Fault, cure_of
from .loading import GUARDED, Plugins, only, probe

if TYPE_CHECKING:
    from ..providers import Provider

__all__ = ["build"]


def build(
    plugins: Plugins, candidate: Candidate, device: DeviceSpec, extra_cure: str = ""
) -> Backend:
    """The backend of ``candidate`` on ``device``; a failure also offers ``extra_cure``.

    Raises:
        TorchImportError: ``import torch`` fails.
        PluginError: one of the plugin's own factories failed; the areas made before it are closed.
    """
    assert candidate.info is not None
    assert candidate.probe is not None
    import_torch()
    dist = candidate.distribution
    backend = Backend(candidate.info, candidate.probe, device, dist.name, dist.version)
    packs = _available_packs(plugins)
    try:
        for area, hook in AREAS:
            _build_area(plugins, candidate, packs, backend, area, hook)
        _touch_device(candidate, backend)
        apply_switches(backend)
    except BaseException as error:
        _close_after_failure(backend, error)
        if not isinstance(error, _FactoryFailed):
            raise
        candidate.build_fault = error.fault
        raise candidate.build_fault.error(extra_cure) from error.fault.cause
    candidate.build_fault = None
    return backend


def _build_area(
    plugins: Plugins,
    owner: Candidate,
    packs: list[Candidate],
    backend: Backend,
    area: str,
    hook: str,
) -> None:
    for candidate in _calling_order(plugins, [owner, *packs], hook):
        try:
            provider = only(plugins.manager, hook, candidate)(backend=backend)
            if provider is None:
                continue
            capabilities = _checked(provider, area, backend)
        except TorchImportError:
            raise
        except GUARDED as error:
            if candidate is owner:
                raise _factory_failed(owner, hook, error) from error
            _override_failed(candidate, backend, area, error)
            continue
        if candidate is not owner:
            used = Override(area, str(candidate.distribution), used=True)
            backend.overrides = (*backend.overrides, used)
        break
    else:
        provider, capabilities = _base_class(area)(), Capabilities()
        provider.backend_name = backend.name
    setattr(backend, area, provider)
    backend.capabilities = backend.capabilities.merged(capabilities)


def _calling_order(plugins: Plugins, wanted: list[Candidate], hook: str) -> list[Candidate]:
    # get_hookimpls() is in reverse calling order.
    by_plugin = {id(c.plugin): c for c in wanted}
    order: list[Candidate] = []
    for implementation in reversed(getattr(plugins.manager.hook, hook).get_hookimpls()):
        candidate = by_plugin.get(id(implementation.plugin))
        if candidate is not None and candidate not in order:
            order.append(candidate)
    return order


def _checked(provider: Any, area: str, backend: Backend) -> Capabilities:
    base = _base_class(area)
    if not isinstance(provider, base):
        raise TypeError(f"expected an accel.{base.__name__} or None, got {provider!r}")
    capabilities = Capabilities(provider.capabilities)
    prefixes = ("collectives", "p2p") if area == "collectives" else (area,)
    foreign = [str(c) for c in capabilities if c.value.partition(".")[0] not in prefixes]
    if foreign:
        raise ValueError(f"{provider!r} claims capabilities of other areas: {', '.join(foreign)}")
    provider.backend_name = backend.name
    return capabilities


def _base_class(area: str) -> type[Provider]:
    from .. import providers

    classes: dict[str, type[Provider]] = {
        "streams": providers.Streams,
        "events": providers.Events,
        "pinned": providers.PinnedMemory,
        "memcpy": providers.Memcpy,
        "collectives": providers.Collectives,
        "kv": providers.KVKernels,
    }
    return classes[area]


def _available_packs(plugins: Plugins) -> list[Candidate]:
    """The kernel packs whose probe, if they have one, says yes."""
    available = []
    for pack in plugins.kernel_packs:
        if not only(plugins.manager, "accel_probe", pack).get_hookimpls():
            available.append(pack)
            continue
        answer = probe(plugins.manager, pack)
        if pack.fault is not None:
            warn_once(f"{pack.fault.message} It is not used.")
        elif answer is not None and answer.available:
            available.append(pack)
    return available


class _FactoryFailed(Exception):
    """Carries the fault to :func:`build`, which raises it as a PluginError."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _factory_failed(owner: Candidate, hook: str, error: BaseException) -> _FactoryFailed:
    text = str(error).strip()
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    name = owner.distribution.name
    message = f"{owner.label} failed to build backend {owner.name!r}: {hook} raised {said}."
    cure = f"`pip install --upgrade --force-reinstall {name}`; `accel doctor` shows more"
    return _FactoryFailed(Fault(hook, message, cure_of(error, cure), error))


def _override_failed(
    candidate: Candidate, backend: Backend, area: str, error: BaseException
) -> None:
    reason = f"{type(error).__name__}: {error}"
    failed = Override(area, str(candidate.distribution), used=False, reason=reason)
    backend.overrides = (*backend.overrides, failed)
    warn_once(
        f"{candidate.label} failed to override {area} of backend {backend.name!r} ({reason});"
        f" {backend.distribution}'s own is used. Cure: "
        + cure_of(error, f"`pip uninstall {candidate.distribution.name}`, or upgrade it")
    )


def _touch_device(owner: Candidate, backend: Backend) -> None:
    try:
        _ = backend.device
    except GUARDED as error:
        if isinstance(error, TorchImportError):
            raise
        raise _factory_failed(owner, "torch.device", error) from error


def _close_after_failure(backend: Backend, error: BaseException) -> None:
    try:
        backend.close()
    except Exception as closing:
        # The build's error is the one to see; this one must not replace it, nor vanish.
        warn_once(
            f"closing backend {backend.name!r} after {type(error).__name__} also failed: {closing}"
        )
