"""Checks of a run before it starts: rules as code, which refuse with a remedy and can be overridden by name."""
