"""KV caches described once, for every engine: layouts, caches, and the plan of a transfer."""

from .cache import KVCache
from .codec_format import encode_bound
from .layout import KVLayout
from .plan import Dim, PlanePlan, TransferPlan, plan_transfer
from .presets import PRESETS, dsa_indexer
from .quantization import Quantized, QuantSpec
from .rope import LinearScaling, Llama3Scaling, Rope, RopeScaling, YarnScaling
from .slots import block_slots, check_slots

__all__ = [
    "PRESETS",
    "Dim",
    "KVCache",
    "KVLayout",
    "LinearScaling",
    "Llama3Scaling",
    "PlanePlan",
    "QuantSpec",
    "Quantized",
    "Rope",
    "RopeScaling",
    "TransferPlan",
    "YarnScaling",
    "block_slots",
    "check_slots",
    "dsa_indexer",
    "encode_bound",
    "plan_transfer",
]
