"""The Hub tools with the fake Hub, whose address and token are in the environment."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi, close_session

from ml_intern.execution.tool import ToolContext
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as hub:
        for name in ("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name, value in hub.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ML_INTERN_ROUTER_URL", f"{hub.url}/v1")
        yield hub
        close_session()


@pytest.fixture
def client(hub: FakeHub) -> HfApi:
    """The real client, to check what a tool did."""
    return HfApi(endpoint=hub.url, token=TOKEN)


class HubBench(Bench):
    """A bench whose settings point to the fake Hub's dataset viewer."""

    hosts: dict[str, str]

    def context(self, **choices: object) -> ToolContext:
        context = super().context(**choices)
        return replace(context, options=replace(context.options, hosts=self.hosts))


@pytest.fixture
def desk(bench: Bench, hub: FakeHub) -> HubBench:
    desk = HubBench(bench.store, bench.workspace, bench.services)
    desk.hosts = {"dataset_viewer": hub.viewer_url}
    return desk
