"""Runs elsewhere, against the fake Hub: its address and token are in the environment, as a user would set them."""

from tests.tools.hub.conftest import client, desk, hub

__all__ = ["client", "desk", "hub"]
