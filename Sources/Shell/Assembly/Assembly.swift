// Assembly: see docs/architecture.md.
