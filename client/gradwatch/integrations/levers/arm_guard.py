"""arm_guard {}: the guard arms itself with every answer of the service."""

from __future__ import annotations

from gradwatch.integrations.levers.skip_step import apply

__all__ = ["apply"]
