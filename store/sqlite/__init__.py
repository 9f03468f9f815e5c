"""The thread database in one SQLite file."""
