"""A bench whose tools can reach only fake services on loopback."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run import run_call
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub
from tests.fakes.website import Website


@dataclass
class Reader:
    """Calls tools as in a run whose settings point to the fakes."""

    bench: Bench
    options: RunOptions

    def context(self) -> ToolContext:
        return replace(self.bench.context(), options=self.options)

    async def run(self, name: str, **args: Any) -> ToolResult:
        return await run_call(self.bench.call(name, args), self.context())

    def hosts(self, **urls: str) -> None:
        """Set the addresses of these services."""
        self.options = replace(self.options, hosts={**self.options.hosts, **urls})

    def allow(self, *hosts: str) -> None:
        """Allow pages from these private hosts."""
        self.options = replace(self.options, private_hosts=hosts)


@pytest.fixture
def reader(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    for name in [name for name in os.environ if name.upper().endswith("_PROXY") or name.endswith(("_TOKEN", "_KEY"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ML_INTERN_HOME", str(bench.store.home))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    nowhere = "http://127.0.0.1:1"
    hosts = dict.fromkeys(("semantic_scholar", "arxiv", "brave_search", "tavily", "dataset_viewer"), nowhere)
    return Reader(bench, replace(bench.context().options, hosts=hosts))


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[Website, Website]]:
    with Website() as other, Website(other.url + "/article") as site:
        yield site, other


@pytest.fixture
def other_site(sites: tuple[Website, Website]) -> Website:
    sites[1].seen.clear()
    return sites[1]


@pytest.fixture
def site(reader: Reader, sites: tuple[Website, Website]) -> Website:
    """A site that is allowed although it is on loopback; /away redirects to `other_site`, which is not."""
    sites[0].seen.clear()
    reader.allow(sites[0].host)
    return sites[0]


@pytest.fixture(scope="module")
def one_hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub
    close_session()


@pytest.fixture
def hub(one_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """An empty Hub, without a login."""
    for content in (one_hub.asked, one_hub.papers, one_hub.docs, one_hub.collections):
        content.clear()
    one_hub.clear_failures()
    monkeypatch.setenv("HF_ENDPOINT", one_hub.url)
    return one_hub
