"""First start: set-up, model probe, demo."""
