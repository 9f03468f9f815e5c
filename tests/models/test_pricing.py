"""The price of a call: the one in the settings, nothing for servers that identify themselves, else unknown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import ValidationError

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.settings import Settings
from ml_intern.graph.context import RunOptions
from ml_intern.models.gateway import Models, ModelSettings
from ml_intern.models.routing import Endpoint, Route
from ml_intern.store.store import Store
from tests.fakes.model_server import FakeModelServer, Reply
from tests.models.conftest import QUICK, Bench

PROPS = {"default_generation_settings": {"n_ctx": 4096}}
LM_STUDIO = {"models": [{"key": "fake"}]}
OLLAMA: dict[str, Any] = {"models": [{"name": "fake", "model": "fake"}]}


@pytest.fixture
async def opened(server: FakeModelServer, store: Store) -> AsyncIterator[Callable[..., Bench]]:
    made: list[Models] = []

    def make(prices: dict[str, Any] | None = None, model: str = "fake") -> Bench:
        models = Models(store.ledger, Endpoint(server.url, "THE_KEY"), QUICK, {}, ModelSettings(prices or {}))
        made.append(models)
        return Bench(server, store, models, model)

    yield make
    for models in made:
        await models.close()


async def cost(bench: Bench) -> float | None:
    await bench.ask()
    value: float | None = bench.data("usage")[0]["cost_usd"]
    return value


@pytest.mark.parametrize(
    ("owner", "path", "report"),
    [
        ("llamacpp", "/props", PROPS),
        ("library", "/api/ps", OLLAMA),
        ("organization_owner", "/api/v1/models", LM_STUDIO),
        ("vllm", "/version", {"version": "0.20.1"}),
        ("someone", "/props", PROPS),
        ("someone", "/api/ps", OLLAMA),
        ("someone", "/api/v1/models", LM_STUDIO),
    ],
)
async def test_a_server_that_identifies_itself_costs_nothing(
    opened: Callable[..., Bench], server: FakeModelServer, owner: str, path: str, report: dict[str, Any]
) -> None:
    server.models = [{"id": "fake", "owned_by": owner}]
    server.pages[path] = report
    assert await cost(opened()) == 0.0


@pytest.mark.parametrize(
    ("owner", "pages"),
    [
        ("openai", {}),
        ("vllm", {}),
        ("llamacpp", {"/props": {"error": "no"}}),
        ("openai", {"/version": {"version": "1.0"}, "/api/ps": {"models": "none"}, "/api/v1/models": {"models": []}}),
    ],
)
async def test_any_other_endpoint_on_this_machine_has_an_unknown_price(
    opened: Callable[..., Bench], server: FakeModelServer, owner: str, pages: dict[str, Any]
) -> None:
    """A proxy on loopback may bill, even if it repeats the owner that a server behind it reports."""
    server.models = [{"id": "fake", "owned_by": owner}]
    server.pages.update(pages)
    assert await cost(opened()) is None


async def test_a_local_server_that_sends_no_usage_costs_nothing(
    opened: Callable[..., Bench], server: FakeModelServer
) -> None:
    server.models = [{"id": "fake", "owned_by": "llamacpp"}]
    server.pages["/props"] = PROPS
    server.default = Reply(text="ok", usage=None)
    assert await cost(opened()) == 0.0


@pytest.mark.parametrize(("price", "dollars"), [(0, 0.0), (1.0, 25e-6), ({"input": 1.0, "output": 10.0}, 70e-6)])
@pytest.mark.parametrize("key", ["{url}", "{host}", "{url}/", "{localhost}", "local/fake"])
async def test_the_settings_name_a_price_for_a_base_url_or_a_model(
    opened: Callable[..., Bench], server: FakeModelServer, price: object, dollars: float, key: str
) -> None:
    host = server.url.removesuffix("/v1")
    named = key.format(url=server.url, host=host, localhost=host.replace("127.0.0.1", "localhost"))
    bench = opened({named: price}, model="local/fake")
    bench.models.endpoint = Endpoint(server.url, "THE_KEY", "local/fake")
    assert await cost(bench) == pytest.approx(dollars)


async def test_a_named_price_comes_before_free_and_before_the_figure_of_the_provider(
    opened: Callable[..., Bench], server: FakeModelServer
) -> None:
    server.models = [{"id": "fake", "owned_by": "llamacpp"}]
    server.pages["/props"] = PROPS
    server.default = Reply(text="ok", usage={"prompt_tokens": 20, "completion_tokens": 5, "cost": 3.0})
    assert await cost(opened({server.url: 1.0})) == pytest.approx(25e-6)


async def test_a_hosted_endpoint_is_not_asked_what_it_is(opened: Callable[..., Bench]) -> None:
    assert not Route("m", "m", "direct", "endpoint", "https://api.example.com/v1").is_private
    for host in ("127.0.0.1", "192.168.1.5", "[::1]", "gpu-box", "gpu.lan"):
        assert Route("m", "m", "direct", "endpoint", f"http://{host}:8000/v1").is_private


async def test_models_of_unknown_price_are_named_and_a_strict_budget_refuses_them(
    opened: Callable[..., Bench], server: FakeModelServer
) -> None:
    bench = opened()
    options = RunOptions("fake", "/w", max_budget_usd=5.0, headless=True)
    await bench.models.expect_prices(options)
    assert bench.models.unpriced(options) == ["fake"]
    assert bench.models.unpriced(RunOptions("fake", "/w")) == []
    strict = RunOptions("fake", "/w", max_budget_usd=5.0, strict_budget=True)
    with pytest.raises(ConfigurationError, match="no price is known for fake") as refused:
        await bench.models.expect_prices(strict)
    assert f"--set 'prices={{\"{server.url}\": X}}'" in refused.value.remedy
    priced = opened({server.url: 0})
    await priced.models.expect_prices(strict)
    assert priced.models.unpriced(strict) == []


@pytest.mark.parametrize("prices", [{"fake": 1}, {"ftp://x/v1": 1}, {"a/b": -1}, {"a/b": {"input": 1}}, {"a/b": "x"}])
def test_a_price_that_cannot_be_meant_is_rejected(prices: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(prices=prices)


async def test_a_cancelled_request_to_a_free_model_costs_nothing(
    opened: Callable[..., Bench], server: FakeModelServer
) -> None:
    bench = opened({server.url: 0})
    server.say(Reply(text="a long story", stall_after=2))
    asking = asyncio.create_task(bench.ask())
    await bench.until("assistant_chunk")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    totals = await bench.store.ledger.total("t")
    assert (totals.unknown_cost_requests, totals.known_cost_usd) == (0, 0.0)
