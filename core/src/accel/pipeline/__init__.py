"""Layers that live in host memory, on the device just in time: prefetch behind the computation."""

from .layer import Layer
from .pipe import LayerPipeline
from .report import LayerReport, PipelineReport

__all__ = ["Layer", "LayerPipeline", "LayerReport", "PipelineReport"]
