"""Threads that leave this machine or come from elsewhere: exports, imports, traces."""
