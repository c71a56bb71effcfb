"""What a run found: the model, and its forms (JSON, Markdown, HTML, JUnit, badge, terminal)."""

from .model import CapabilityVerdict, CaseResult, Environment, LevelTotals, Report
from .writing import write_reports

__all__ = [
    "CapabilityVerdict",
    "CaseResult",
    "Environment",
    "LevelTotals",
    "Report",
    "write_reports",
]
