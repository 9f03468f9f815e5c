"""Snapshots of the user's files at the start of each turn, and their restoration by undo."""
