"""The CNRT simulator's libraries, and a simulated torch_mlu. Importing this activates nothing."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
