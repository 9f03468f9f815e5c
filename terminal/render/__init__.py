"""Events and tables as terminal text."""
