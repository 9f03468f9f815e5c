"""Evaluate a delivered artifact again, in a fresh read-only sandbox, and compare the result with the claims."""
