"""Addresses that are no model server, proxies, keys, names and clocks: each is one clear line, soon."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from ml_intern.configs.errors import ConfigurationError, ProviderUnavailable
from ml_intern.models.transports.base import Timeouts
from tests.fakes.model_server import FakeModelServer, Reply, error
from tests.models.conftest import IMPATIENT, Bench

AFAR = "http://models.example/v1"
ANTHROPIC: list[dict[str, Any]] = [{"type": "message_start", "message": {"content": []}}, {"type": "message_stop"}]
OLLAMA = {"model": "m", "message": {"role": "assistant", "content": "hi"}, "done": True}


@pytest.fixture
def no_http() -> Iterator[str]:
    """A port that answers in a language of its own, as SSH does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.close()

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        Reply(body=json.dumps(OLLAMA).encode(), headers={"content-type": "application/json"}),
        Reply(
            body="".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in ANTHROPIC).encode(),
            headers={"content-type": "text/event-stream"},
        ),
        Reply(body=b'"just words"', headers={"content-type": "application/json"}),
    ],
    ids=["Ollama's own", "Anthropic's own", "a string"],
)
async def test_another_dialect_is_said_at_once(direct: Bench, answer: Reply) -> None:
    direct.server.default = answer

    with pytest.raises(ConfigurationError, match="does not support OpenAI's chat completions"):
        await direct.ask()

    assert len(direct.server.asked) == 1


@pytest.mark.parametrize("status", [405, 501])
@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
async def test_a_server_of_something_else_is_said_at_once(bench: Bench, status: int, kind: str) -> None:
    bench.server.default = Reply(status=status, body=b"Unsupported method ('POST')", headers={"content-type": kind})

    with pytest.raises(ConfigurationError, match=r"web page|does not accept chat requests") as raised:
        await bench.ask()

    assert "/v1" in raised.value.remedy
    assert len(bench.server.asked) == 1


async def test_words_that_are_no_json_are_not_asked_for_many_times(open_bench: Callable[..., Bench]) -> None:
    bench = open_bench("direct", Timeouts(retries=10, first_backoff_s=0.001))
    bench.server.default = Reply(body=b"It works!", headers={"content-type": "text/plain"})

    with pytest.raises(ProviderUnavailable, match="not JSON"):
        await bench.ask()

    assert len(bench.server.asked) == 4


async def test_a_port_that_speaks_no_http_is_given_up_soon(open_bench: Callable[..., Bench], no_http: str) -> None:
    bench = open_bench("direct", Timeouts(retries=10, first_backoff_s=0.001), url=no_http)

    with pytest.raises(ProviderUnavailable, match="after 4 attempts"):
        await bench.ask()


async def test_a_local_server_that_answered_once_is_waited_for_longer(open_bench: Callable[..., Bench]) -> None:
    bench = open_bench("direct", Timeouts(retries=6, first_backoff_s=0.001))
    await bench.ask()
    bench.server.say(*[Reply(body=b"restarting", headers={"content-type": "text/plain"})] * 6)

    assert (await bench.ask()).message.content == "ok"


@pytest.mark.parametrize("transport", ["direct", "litellm"])
async def test_a_name_without_an_address_is_said(open_bench: Callable[..., Bench], transport: str) -> None:
    bench = open_bench(transport, IMPATIENT, url="http://nowhere.invalid/v1")

    with pytest.raises(
        ProviderUnavailable, match=r"cannot resolve the host of http://nowhere\.invalid \(DNS lookup failed\)"
    ):
        await bench.ask()


async def test_a_proxy_of_the_environment_is_used_and_loopback_goes_past_it(
    open_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeModelServer(Reply(text="through the proxy")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        near, far = open_bench("direct"), open_bench("direct", url=AFAR)

        assert (await far.ask()).message.content == "through the proxy"
        assert (await near.ask()).message.content == "ok"

    assert proxy.asked[0].headers["host"] == "models.example"


@pytest.mark.parametrize("transport", ["direct", "litellm"])
async def test_a_proxy_that_wants_credentials_is_named(
    open_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    with FakeModelServer(error(407, "who are you?")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))

        with pytest.raises(ConfigurationError, match=r"the proxy for http://models\.example requires credentials"):
            await open_bench(transport, url=AFAR).ask()

    assert len(proxy.asked) == 1


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x", "http://[::1"])
async def test_a_proxy_that_is_none_is_one_clear_line(
    open_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    with pytest.raises(ConfigurationError, match="the proxy in the environment cannot be used") as raised:
        await open_bench("direct", url=AFAR).ask()

    assert "HTTPS_PROXY" in raised.value.remedy


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_clock_that_is_wrong_does_not_change_how_long_is_waited(bench: Bench, years: int) -> None:
    theirs = datetime.now(UTC) + timedelta(days=365 * years)
    dates = {"date": theirs, "retry_after": theirs + timedelta(seconds=1)}
    bench.server.say(error(429, "busy", **{name: format_datetime(date, usegmt=True) for name, date in dates.items()}))

    await bench.ask()

    assert bench.data("error")[0]["retry_in_s"] == 1.0


async def test_a_wait_can_be_left_at_once(direct: Bench) -> None:
    direct.server.say(error(429, "tomorrow", retry_after="200"))
    asking = asyncio.create_task(direct.ask())
    await direct.until("error")
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking

    assert (await direct.store.ledger.total("t")).open_requests == 0


async def test_an_endpoint_too_busy_to_list_its_models_is_left_alone_for_a_while(direct: Bench) -> None:
    direct.server.models = None
    for _ in range(3):
        await direct.ask()

    assert (direct.server.listed, len(direct.server.asked)) == (1, 3)
