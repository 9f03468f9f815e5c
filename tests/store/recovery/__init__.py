"""Backups, restore and repair of the thread database."""
