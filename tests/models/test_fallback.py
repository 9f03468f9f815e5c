"""Another model answers only where the user named one."""

from collections.abc import Callable

import pytest

from ml_intern.configs.errors import ModelUnknown, ProviderUnavailable
from tests.fakes.model_server import Reply, error
from tests.models.conftest import IMPATIENT, Bench


@pytest.fixture
def direct(open_bench: Callable[..., Bench]) -> Bench:
    return open_bench("direct", IMPATIENT)


def down(asked: dict[str, object]) -> Reply:
    return Reply(text=f"I am {asked['model']}") if asked["model"] == "spare" else error(503, "overloaded")


async def test_without_a_fallback_nothing_is_asked_in_a_models_place(direct: Bench) -> None:
    direct.server.default = down

    with pytest.raises(ProviderUnavailable):
        await direct.ask()

    assert {asked.json["model"] for asked in direct.server.asked} == {"fake"}


async def test_a_fallback_answers_when_the_model_stays_unavailable_and_it_is_said(direct: Bench) -> None:
    direct.server.default = down

    reply = await direct.ask(fallback="spare")

    assert reply.message.content == "I am spare"
    assert reply.message.response_metadata["model"] == "spare"
    assert "using the fallback model spare" in direct.data("error")[-1]["message"]
    assert direct.models.acting("fake", "spare") == "spare"
    assert [one.model for one in await direct.store.ledger.requests("t")] == ["spare"]


async def test_a_model_that_is_down_is_tried_once_more_before_each_fallback_and_comes_back(direct: Bench) -> None:
    direct.server.default = down
    await direct.ask(fallback="spare")
    before = len(direct.server.asked)

    await direct.ask(fallback="spare")

    assert [asked.json["model"] for asked in direct.server.asked[before:]] == ["fake", "spare"]
    direct.server.default = Reply(text="back")
    assert (await direct.ask(fallback="spare")).message.content == "back"
    assert direct.models.acting("fake", "spare") == "fake"


async def test_a_model_that_vanished_falls_back(direct: Bench) -> None:
    direct.server.default = lambda asked: down(asked) if asked["model"] == "spare" else error(404, "no such model")

    assert (await direct.ask(fallback="spare")).message.content == "I am spare"
    with pytest.raises(ModelUnknown):
        await direct.ask(fallback="gone too")


async def test_a_wait_longer_than_the_patience_falls_back_at_once(direct: Bench) -> None:
    direct.server.say(error(429, "tomorrow", retry_after="86400"))
    direct.server.default = down

    assert (await direct.ask(fallback="spare")).message.content == "I am spare"
    assert len(direct.server.asked) == 2


async def test_a_used_up_quota_falls_back_too(direct: Bench) -> None:
    direct.server.say(error(429, "pay first", "insufficient_quota"))
    direct.server.default = down

    assert (await direct.ask(fallback="spare")).message.content == "I am spare"
