"""Saved models: what kind a file is, what goes in and out, and what serves it (docs/models.md)."""
