"""Conversations at the real numbers of a window of 1M tokens: when they are compacted, and what a request may cost."""

from collections.abc import Iterator

import pytest
from langchain_core.messages import HumanMessage

from ml_intern.configs.errors import LimitReached
from ml_intern.graph.events import emitter
from ml_intern.graph.operations import UserInput
from ml_intern.models.catalog.prices import entry_of
from ml_intern.models.gateway import ModelRequest, Models
from ml_intern.store.store import Store
from tests.fakes.model_server import FakeModelServer, Reply
from tests.session.conftest import Lab, data, turn

WINDOW = 1_000_000
TIERED = "gemini/gemini-2.5-pro"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeModelServer]:
    with FakeModelServer(Reply(text="ok", usage=None)) as running:
        running.models = [{"id": "large", "max_model_len": WINDOW}]
        monkeypatch.setenv("VLLM_BASE_URL", running.url)
        yield running


@pytest.mark.parametrize(
    ("threshold", "tokens", "compacted"),
    [
        (170_000, 160_000, False),
        (170_000, 180_000, True),
        (850_000, 800_000, False),
        (850_000, 860_000, True),
        (990_000, 890_000, False),
        (990_000, 910_000, True),
    ],
)
async def test_a_conversation_is_compacted_above_the_threshold_or_90_percent_of_the_window(
    lab: Lab, server: FakeModelServer, threshold: int, tokens: int, *, compacted: bool
) -> None:
    size = tokens // 2
    text = "word " * (size * 4 // 5)
    for read, written in ((9, size), (tokens - 10, 10)):
        server.say(Reply(text=text, usage={"prompt_tokens": read, "completion_tokens": written}))
    async with lab.session("vllm/large", compact_threshold=threshold, stream=False) as session:
        for text in ("one", "two"):
            assert not data(await turn(session, UserInput(text)), "compacted")
        events = await turn(session, UserInput("three"))
    assert bool(data(events, "compacted")) is compacted
    assert data(events, "turn_complete")[0]["status"] == "done"
    sent = len(server.asked[-1].body) // 4
    assert (sent > tokens * 0.9) is not compacted


async def test_the_budget_reserves_the_rate_of_long_input_before_the_request(lab: Lab) -> None:
    price = entry_of(TIERED).price
    assert price is not None
    long, short = price.tiers
    assert (long.above, long.input > short.input) == (200_000, True)
    cap = (short.input + long.input) / 2 * 900_000
    request = ModelRequest(
        TIERED, [HumanMessage("word " * 720_000)], thread_id="t", root_id="t", cap_usd=cap, params={"max_tokens": 1}
    )
    async with await Store.open(lab.home) as store:
        models = Models(store.ledger, environ={"GEMINI_API_KEY": "not-used"})
        with pytest.raises(LimitReached, match="of the budget of"):
            await models.complete(request, emitter(lambda event: None))
        assert (await store.ledger.total("t")).requests == 0
        await models.close()
