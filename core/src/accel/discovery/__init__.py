"""Finding plugins, choosing among them, and building the one that is chosen."""

from .registry import available_backends, explain, get_backend, reset

__all__ = ["available_backends", "explain", "get_backend", "reset"]
