// CellNodes: see docs/architecture.md.
