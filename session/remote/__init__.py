"""Threads of a server, over HTTP: the same interface as for threads of this machine."""
