"""Checks of a script before it runs."""
