"""The tools of the Hub against the fake one: its address and token are in the environment, as a user would set them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, close_session

from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as hub:
        for name in ("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name, value in hub.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        yield hub
        close_session()


@pytest.fixture
def client(hub: FakeHub) -> HfApi:
    """The real client, for a second opinion on what a tool did."""
    return HfApi(endpoint=hub.url, token=TOKEN)
