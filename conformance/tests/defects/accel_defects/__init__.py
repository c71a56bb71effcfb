"""Backends that are the good ``cpu`` backend with one thing broken each: see ``catalogue``."""
