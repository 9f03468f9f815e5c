"""Snapshots of the user's files at the start and end of each turn, and their restoration by undo."""
