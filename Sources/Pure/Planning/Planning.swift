// Planning: see docs/architecture.md.
