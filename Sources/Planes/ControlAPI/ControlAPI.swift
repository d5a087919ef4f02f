// ControlAPI: see docs/architecture.md.
