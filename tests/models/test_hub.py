"""The Hugging Face router: windows, prices and names come from its catalogue."""

from collections.abc import AsyncIterator

import pytest

from ml_intern.configs.errors import ModelUnknown
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store
from tests.fakes.model_server import FakeModelServer, Reply, error
from tests.models.conftest import QUICK, Bench

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000}


@pytest.fixture
async def hub(server: FakeModelServer, store: Store) -> AsyncIterator[Bench]:
    server.models = [
        {
            "id": "org/model",
            "providers": [
                {"provider": "fast", "status": "live", "context_length": 64_000, "pricing": {"input": 1, "output": 2}},
                {
                    "provider": "cheap",
                    "status": "live",
                    "context_length": 32_000,
                    "pricing": {"input": 0.5, "output": 1},
                },
            ],
        },
        {"id": "org/other-model"},
    ]
    server.default = Reply(text="hi", usage=USAGE)
    models = Models(store.ledger, waits=QUICK, environ={"HF_TOKEN": "hf_x", "ML_INTERN_ROUTER_URL": server.url})
    yield Bench(server, store, models, "org/model:cheap")
    await models.close()


async def test_a_named_provider_has_its_price_and_the_window_is_learned(hub: Bench) -> None:
    assert hub.models.window(hub.model) is None

    reply = await hub.ask()

    assert reply.cost_usd == pytest.approx(0.5 + 0.1)
    assert hub.models.window(hub.model) == 32_000
    assert hub.server.asked[0].json["model"] == "org/model:cheap"
    assert hub.server.asked[0].headers["authorization"] == "Bearer hf_x"


async def test_the_provider_that_served_decides_the_price(hub: Bench) -> None:
    hub.server.default = Reply(text="hi", usage=USAGE, headers={"x-inference-provider": "fast"})

    assert (await hub.ask(model="org/model")).cost_usd == pytest.approx(1 + 0.2)


async def test_a_price_that_depends_on_who_served_is_unknown_while_nobody_says_it(hub: Bench) -> None:
    assert (await hub.ask(model="org/model")).cost_usd is None


async def test_a_cost_the_provider_states_is_taken(hub: Bench) -> None:
    hub.server.default = Reply(text="hi", usage=USAGE | {"cost": 0.25})

    assert (await hub.ask(model="org/model")).cost_usd == 0.25


async def test_an_unknown_model_names_the_nearest_of_the_catalogue(hub: Bench) -> None:
    hub.server.default = error(400, "not supported by any provider", "model_not_supported")

    with pytest.raises(ModelUnknown, match="did you mean org/model, org/other-model"):
        await hub.ask(model="org/modle")
