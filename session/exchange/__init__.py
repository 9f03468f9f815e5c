"""Exports, imports and traces of threads."""
