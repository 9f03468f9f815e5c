"""The server for a team: threads of a shared database, which workers run."""
