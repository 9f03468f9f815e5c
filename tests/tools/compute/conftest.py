"""Fixtures for the compute tools with the fake Hub."""

from tests.runs.backends.conftest import client, desk, hub, sandboxed

__all__ = ["client", "desk", "hub", "sandboxed"]
