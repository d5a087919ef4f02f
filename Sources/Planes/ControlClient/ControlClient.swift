// ControlClient: see docs/architecture.md.
