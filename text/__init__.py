"""Formatting of text, numbers and times for display."""
