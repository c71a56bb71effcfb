"""accel-conformance: checks that a backend does what the contract says and its plugin claims.

``accel-conformance run --backend X``, or ``pytest --pyargs accel_conformance --accel-backend X``.
"""

from .case import Case, case, needs

__all__ = ["Case", "__version__", "case", "needs"]

__version__ = "0.1.0"
