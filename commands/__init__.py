"""Subcommands: each function takes options and returns an exit code."""
