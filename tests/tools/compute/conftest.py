"""The tools of runs, against the fake Hub."""

from tests.runs.backends.conftest import client, desk, hub, sandboxed

__all__ = ["client", "desk", "hub", "sandboxed"]
