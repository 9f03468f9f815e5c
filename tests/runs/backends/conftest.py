"""Runs elsewhere, against the fake Hub: its address and token are in the environment, as a user would set them."""

from collections.abc import AsyncIterator

import pytest

from ml_intern.runs.backends.hub_sandbox import sandboxes_of
from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN
from tests.tools.hub.conftest import HubBench, client, desk, hub

__all__ = ["client", "desk", "hub"]


@pytest.fixture
async def sandboxed(hub: FakeHub, desk: HubBench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HubBench]:
    """The bench; what the library read of the environment when it was imported is as it would be with this Hub."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    yield desk
    hub.clear_failures()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    await sandboxes_of(desk.store).close()
