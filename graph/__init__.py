"""The state machine: its state, its events, how it is built, and the session that drives it."""
