"""Sessions on a database that several machines use: any of them can run a thread, follow it and write to it."""
