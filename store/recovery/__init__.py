"""Damage to the thread database: found, prevented by backups, repaired."""
