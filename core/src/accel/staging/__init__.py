"""Moving data beside the computation: copy streams, and staging through pinned memory."""

from .copy_stream import copy_stream
from .host_staging import HostStaging
from .staged_copy import StagedCopy

__all__ = ["HostStaging", "StagedCopy", "copy_stream"]
