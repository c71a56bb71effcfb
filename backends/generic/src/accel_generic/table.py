"""One row a vendor: its names in torch."""

from __future__ import annotations

from dataclasses import dataclass

from accel.torch_device import TorchVendor

__all__ = ["ROWS", "Row", "row_of"]


@dataclass(frozen=True)
class Row:
    """A vendor whose devices torch knows by these names.

    Attributes:
        maker: whose they are, for messages.
        events: a module that has ``Event``, where the namespace has none.
    """

    maker: str
    vendor: TorchVendor
    events: str = ""

    @property
    def name(self) -> str:
        """The backend's: the device type."""
        return self.vendor.device_type


#: By device type. Names of torch.distributed's backends alone collide between vendors.
ROWS = {
    row.name: row
    for row in (
        Row("Moore Threads", TorchVendor("musa", "torch_musa", "mccl", "torch-musa")),
        Row("Enflame", TorchVendor("gcu", "torch_gcu", "eccl", "torch-gcu")),
        Row("Biren", TorchVendor("supa", "torch_br", "bccl", "torch-br")),
        Row("Tecorigin", TorchVendor("sdaa", "torch_sdaa", "tccl", "torch-sdaa")),
        Row("Intel", TorchVendor("xpu", "", "xccl", "torch", handle="sycl_queue")),
        Row(
            "Habana",
            TorchVendor("hpu", "habana_frameworks.torch.hpu", "hccl", "habana-torch-plugin"),
            events="habana_frameworks.torch.core.hpu",
        ),
    )
}


def row_of(device_type: str) -> Row:
    return ROWS[device_type]
