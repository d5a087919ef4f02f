"""Saves the state of an interpreter: a JSON manifest and content-addressed blobs (`docs/formats/checkpoint.md`)."""
