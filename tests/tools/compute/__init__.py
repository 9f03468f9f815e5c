"""Runs: on this machine, as jobs and in sandboxes of the fake Hub."""
