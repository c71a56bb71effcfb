"""Kernels in a vendor's language on one device: found, loaded, launched with prepared arguments.

Making a `DeviceKernels` is the first tier's question: an object, or the reason why there is none.
Index lists are the caller's to check where they lie on the host; on the device, the kernel skips
what is out of range and records it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import AccelError, SlotError
from ..warn_once import warn_once
from .kernel_files import SIMULATOR_CHIP, KernelFiles, untrusted

if TYPE_CHECKING:
    import torch

    from ..kv.plan import TransferPlan

__all__ = ["DeviceKernels", "NoKernelsError", "raise_record"]

#: Words of a record of accel/kv_fault_record.h: state, kind, argument, index, limit, position.
_RECORD_WORDS = 8


class NoKernelsError(AccelError):
    """There are no kernels for this device; the message says why, and the cure."""


class DeviceKernels:
    """The kernels of one device, loaded. Making it opens nothing but the binaries.

    A plugin's has ``files`` and chooses the chip of a device in its constructor.

    Args:
        index: of the device.
        launch: the plugin's native module of accel/torch_device/bind_launch.hpp.
        chip: that binaries are wanted for.

    Raises:
        NoKernelsError: no binary for this chip and these sources, or it cannot be loaded.
    """

    files: ClassVar[KernelFiles]

    def __init__(self, index: int, launch: Any, chip: str) -> None:
        self._launch = launch
        self._library = self._load(index, next(iter(self.files.kernels)), chip)
        language = self.files.language
        self.notes = f"{language} kernels for {chip}" + (
            f" (compiled for the host through a stand-in of {language})"
            if chip == SIMULATOR_CHIP
            else ""
        )

    def _load(self, index: int, file: str, chip: str) -> Any:
        path = self.files.binary_path(file, chip)
        build = self.files.build_command(chip)
        if path is None or not path.exists():
            where = path.parent if path is not None else f"any folder ({self.files.variable})"
            raise NoKernelsError(
                f"no {self.files.language} kernels of {file} for {chip} in {where}. Cure: {build}"
            )
        fault = untrusted(path)
        if fault:
            raise NoKernelsError(f"{path} is not used: {fault}. Cure: remove it, then {build}")
        try:
            return self._launch.KernelLibrary(index, str(path), list(self.files.kernels[file]))
        except AccelError as error:
            raise NoKernelsError(f"{path} cannot be loaded: {error}") from error

    @property
    def cores(self) -> int:
        """Vector cores of the device."""
        return int(self._library.cores)

    def plan(
        self, plan: TransferPlan, src_pointers: Sequence[int], dst_pointers: Sequence[int]
    ) -> Any:
        """A copy between two caches (or anything that a TransferPlan tells of), prepared.

        Pointers are ``[layer * planes + plane]``, on the device.
        """
        made = self._launch.CopyPlan(
            plan.layers,
            plan.pack(),
            list(src_pointers),
            list(dst_pointers),
            plan.src_units,
            plan.dst_units,
        )
        if made.one_core:
            warn_once(
                f"{self.files.language} kernels copy into a layout whose tokens share 32 bytes with"
                " their neighbours on one core only: slower. Head dims of 32 bytes or more do not"
            )
        return made

    def copy(
        self,
        prepared: Any,
        src: torch.Tensor | None,
        dst: torch.Tensor | None,
        count: int,
        handle: int,
        *,
        records: torch.Tensor | None = None,
        total: torch.Tensor | None = None,
    ) -> int:
        """Give the copy of ``count`` units to a stream; how many launches it took.

        Args:
            src, dst: 1-D int32 or int64 tensors; None counts from 0. On the host they were checked.
            handle: of the stream, behind what torch has queued for it.
            records: of :meth:`new_records`: where indices out of range are recorded.
            total: int64 on the device: how many of the ``count`` units there are.
        """
        return int(
            self._launch.copy(
                self._library,
                prepared,
                handle,
                _listed(src),
                _listed(dst),
                count,
                fault=0 if records is None else records.data_ptr(),
                count=0 if total is None else total.data_ptr(),
            )
        )

    def record_count(self) -> int:
        """int64 numbers that the records of a launch take, all 0 before it."""
        return self.cores * _RECORD_WORDS


def raise_record(records: torch.Tensor, names: tuple[str, str], units: tuple[int, int]) -> None:
    """SlotError for the first index that a launch recorded; ``records`` are on the host."""
    rows = [row for row in records.view(-1, _RECORD_WORDS).tolist() if row[0]]
    if not rows:
        return
    _, _, argument, index, limit, position, *_ = min(rows, key=lambda row: row[5])
    side = 0 if argument == 1 else 1
    raise SlotError(names[side], f"indices below {limit}", f"{index} at position {position}")


def _listed(indices: torch.Tensor | None) -> tuple[int, int, bool, bool] | None:
    if indices is None:
        return None
    wide = indices.element_size() == 8
    stride = indices.stride(0) if len(indices) else 1
    return indices.data_ptr(), stride, wide, indices.device.type != "cpu"
