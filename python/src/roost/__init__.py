"""Roost: the cell you just ran, behind a URL."""

__version__ = "0.1.0"
