"""MCP servers over HTTP: headers, redirects, errors, and responses that are too large."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.tools.mcp.servers import Servers
from tests.execution.conftest import Bench
from tests.fakes.mcp_http_server import FakeMcp

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
Opens = Callable[..., Any]


@pytest.fixture
def opens(bench: Bench, tmp_path: Path) -> Opens:
    @asynccontextmanager
    async def open_at(url: str, **headers: str) -> AsyncIterator[Servers]:
        server = McpServer(url=url, headers=headers, timeout_s=20, startup_timeout_s=20)
        servers = Servers({"web": server}, tmp_path / "home")
        servers.start()
        try:
            await servers.settled()
            bench.add(*servers.specs.values())
            yield servers
        finally:
            await servers.close()

    return open_at


@pytest.mark.parametrize("answers", ["json", "events"])
async def test_a_tool_is_called_with_the_servers_own_headers(
    opens: Opens, bench: Bench, answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_aTokenThatStaysWithUs0000001")
    with FakeMcp(json=answers == "json") as fake:
        async with opens(fake.url, **{"X-Key": "theirs"}):
            result = await bench.run("mcp__web__add", a=20, b=22)
            assert "42" in result.text
            huge = await bench.run("mcp__web__huge", count=30_000_000)
            assert "larger than 16,000,000 bytes" in huge.text
            assert "7" in (await bench.run("mcp__web__add", a=3, b=4)).text
    assert {headers["x-key"] for headers in fake.seen} == {"theirs"}
    assert [headers for headers in fake.seen if "authorization" in headers] == []


async def test_a_redirect_to_another_server_is_not_followed(opens: Opens) -> None:
    with FakeMcp() as fake, FakeMcp() as other:
        fake.redirect_to = other.url
        async with opens(fake.url, Authorization="Bearer theirs") as servers:
            (problem,) = servers.problems()
    assert "redirect" in problem
    assert other.seen == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "set a key in `headers`"), (404, "there is no MCP server at this address"), (500, "it answered 500")],
)
async def test_an_unsuccessful_response_is_reported_in_one_line(opens: Opens, status: int, expected: str) -> None:
    with FakeMcp() as fake:
        fake.status = status
        async with opens(fake.url) as servers:
            (problem,) = servers.problems()
    assert expected in problem


async def test_the_connection_is_restored_after_a_failure(opens: Opens, bench: Bench) -> None:
    with FakeMcp() as fake:
        async with opens(fake.url):
            fake.status = 502
            failed = await bench.run("mcp__web__add", a=1, b=1)
            fake.status = 0
            again = await bench.run("mcp__web__add", a=1, b=1)
    assert "may have run in part" in failed.text
    assert "2" in again.text
