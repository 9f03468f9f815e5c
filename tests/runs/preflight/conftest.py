"""The checks before a run, against the fake Hub."""

from tests.tools.hub.conftest import client, desk, hub

__all__ = ["client", "desk", "hub"]
