"""Programs that may run unasked in the OS sandbox. Each check returns the problem, or ""."""
