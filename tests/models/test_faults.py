"""What a fault becomes, over both transports."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.configs.errors import ConfigurationError, KeyMissing, ModelFailed, ModelUnknown, ProviderUnavailable
from ml_intern.models.errors import BadRequest, ContextOverflow, QuotaExhausted, Refused
from tests.fakes.model_server import FakeModelServer, Reply, error
from tests.models.conftest import IMPATIENT, Bench

VLLM_OVERFLOW = (
    "This model's maximum context length is 8192 tokens. However, you requested 9001 tokens "
    "(8001 in the messages, 1000 in the completion). Please reduce the length of the messages or completion."
)
LLAMACPP_OVERFLOW = b'{"error":{"code":400,"message":"too big","type":"exceed_context_size_error","n_ctx":4096}}'
PAGE = Reply(body=b"<!doctype html><title>Welcome</title>", headers={"content-type": "text/html"})


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_passing_faults_are_waited_out_visibly(bench: Bench, status: int) -> None:
    bench.server.say(error(status, "busy"), error(status, "busy"), Reply(text="at last"))

    reply = await bench.ask()

    assert reply.message.content == "at last"
    waits = bench.data("error")
    assert len(waits) == 2
    assert all(str(status) in wait["message"] and wait["retry_in_s"] is not None for wait in waits)
    assert len(bench.server.asked) == 3


@pytest.mark.parametrize("transport", ["direct", "litellm", "openai sdk"])
async def test_an_outage_ends_with_the_patience_as_a_passing_fault(
    open_bench: Callable[..., Bench], transport: str
) -> None:
    bench = open_bench(transport, IMPATIENT)
    bench.server.default = error(503, "overloaded")

    with pytest.raises(ProviderUnavailable, match=r"503: overloaded after \d+ attempts in ") as given_up:
        await bench.ask()

    assert "--patience" in given_up.value.remedy
    assert "waiting up to" in bench.data("error")[0]["message"]
    totals = await bench.store.ledger.total("t")
    assert (totals.requests, totals.open_requests, totals.cost_usd) == (len(bench.server.asked), 0, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "0.2"},
        {"retry_after_ms": "200"},
        {"retry_after": format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)},
    ],
)
async def test_retry_after_is_honoured_in_every_form(bench: Bench, headers: dict[str, str]) -> None:
    bench.server.say(error(429, "slow down", **headers))

    await bench.ask()

    assert bench.data("error")[0]["retry_in_s"] == (0.0 if "," in next(iter(headers.values())) else 0.2)


async def test_a_retry_after_beyond_the_patience_ends_the_call(direct: Bench) -> None:
    direct.server.say(error(429, "tomorrow", retry_after="86400"))

    with pytest.raises(ProviderUnavailable, match="asks to wait 24 h"):
        await direct.ask()

    assert len(direct.server.asked) == 1


@pytest.mark.parametrize("answer", [error(429, "pay first", "insufficient_quota"), error(402, "pay first")])
async def test_a_used_up_quota_is_not_tried_again(bench: Bench, answer: Reply) -> None:
    bench.server.say(answer)

    with pytest.raises(QuotaExhausted, match="no credit or quota"):
        await bench.ask()

    assert len(bench.server.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_names_its_variable_and_never_the_key(bench: Bench, status: int) -> None:
    bench.server.say(error(status, "Incorrect API key provided: sk-very-secret"))

    with pytest.raises(KeyMissing, match=r"THE_KEY|(HOSTED_VLLM|OPENAI|ANTHROPIC)_API_KEY") as raised:
        await bench.ask()

    assert "secret" not in str(raised.value)
    assert len(bench.server.asked) == 1


async def test_no_error_repeats_the_key(bench: Bench) -> None:
    bench.server.default = error(400, "bad request with sk-very-secret in it")

    with pytest.raises(BadRequest) as raised:
        await bench.ask()

    assert "sk-very-secret" not in str(raised.value)
    assert "sk-very-secret" not in str(bench.events)


async def test_an_unknown_model_names_the_nearest(direct: Bench) -> None:
    direct.server.models = [{"id": "qwen3-32b"}, {"id": "fake-model"}, {"id": "zzz"}]
    direct.server.say(error(404, "The model `fake` does not exist.", "model_not_found"))

    with pytest.raises(ModelUnknown, match="did you mean fake-model"):
        await direct.ask()


async def test_an_unknown_model_is_not_tried_again(bench: Bench) -> None:
    bench.server.say(error(404, "no such model"))

    with pytest.raises(ModelUnknown, match="does not know the model"):
        await bench.ask()

    assert len(bench.server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (error(400, VLLM_OVERFLOW), 8192),
        (error(400, VLLM_OVERFLOW, "context_length_exceeded"), 8192),
        *((error(status, VLLM_OVERFLOW), 8192) for status in (413, 422, 500)),
        (error(400, "Too long.", "context_length_exceeded"), None),
        (Reply(status=400, headers={"content-type": "application/json"}, body=LLAMACPP_OVERFLOW), 4096),
        (error(413, "Payload too large"), None),
    ],
)
async def test_an_overflow_teaches_the_window(bench: Bench, answer: Reply, tokens: int | None) -> None:
    bench.server.say(answer)

    with pytest.raises(ContextOverflow) as raised:
        await bench.ask()

    assert raised.value.tokens == tokens
    window = bench.models.window(bench.model)
    assert window == tokens if tokens else window is not None
    assert len(bench.server.asked) == 1


async def test_a_filtered_request_is_said_and_not_tried_again(bench: Bench) -> None:
    bench.server.say(error(400, "The response was filtered", "content_filter"))

    with pytest.raises(Refused, match="content filter"):
        await bench.ask()

    assert len(bench.server.asked) == 1


async def test_a_rejected_history_is_repaired_once(chat: Bench) -> None:
    history = [
        SystemMessage("rules"),
        HumanMessage("go"),
        ToolMessage("orphan", tool_call_id="gone"),
        AIMessage("", tool_calls=[{"name": "bash", "args": {}, "id": "c1"}, {"name": "bash", "args": {}, "id": "c2"}]),
        HumanMessage("well?"),
        ToolMessage("late", tool_call_id="c2"),
    ]
    chat.server.say(error(400, "No tool output found for function call c1"), Reply(text="thanks"))

    reply = await chat.ask(messages=history)

    assert reply.message.content == "thanks"
    sent = chat.server.asked[1].json["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert [message.get("tool_call_id") for message in sent[3:5]] == ["c1", "c2"]


async def test_a_request_that_stays_rejected_is_not_repeated_for_ever(bench: Bench) -> None:
    bench.server.default = error(400, "I do not like this")

    with pytest.raises(BadRequest, match="I do not like this"):
        await bench.ask()

    assert len(bench.server.asked) <= 3


async def test_options_a_server_rejects_are_left_out_from_then_on(direct: Bench) -> None:
    def picky(asked: dict[str, object]) -> Reply:
        plain = "reasoning_effort" not in asked and "stream_options" not in asked
        return Reply(text="ok") if plain else error(400, "unknown field")

    direct.server.default = picky

    for _ in range(2):
        await direct.ask(effort="high")

    assert len(direct.server.asked) == 3


@pytest.mark.parametrize("transport", ["direct", "litellm"])
async def test_a_server_that_does_not_run_is_named(open_bench: Callable[..., Bench], transport: str) -> None:
    with FakeModelServer() as server:
        gone = server.url
    bench = open_bench(transport, IMPATIENT, url=gone)

    with pytest.raises(ProviderUnavailable, match=r"cannot connect to http://127\.0\.0\.1"):
        await bench.ask()

    assert bench.data("error")


async def test_a_server_that_starts_late_is_waited_for(open_bench: Callable[..., Bench]) -> None:
    with FakeModelServer() as server:
        url = server.url
    bench = open_bench("direct", url=url)
    asking = asyncio.create_task(bench.ask())
    await bench.until("error")

    with FakeModelServer(port=urlsplit(url).port or 0):
        assert (await asking).message.content == "ok"


@pytest.mark.parametrize("page", [PAGE, Reply(status=404, body=PAGE.body, headers=PAGE.headers)], ids=["200", "404"])
async def test_a_web_page_is_one_clear_line(bench: Bench, page: Reply) -> None:
    bench.server.say(page)

    with pytest.raises(ConfigurationError, match="web page") as raised:
        await bench.ask()

    assert "/v1" in raised.value.remedy
    assert len(bench.server.asked) == 1


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        Reply(status=302, body=b"", headers={"location": "http://login.example/"}),
        Reply(body=b'{"login": "first"}', headers={"content-type": "application/json"}),
        Reply(status=405, body=b"no", headers={"content-type": "text/plain"}),
    ],
    ids=["page", "redirect", "other JSON", "405"],
)
async def test_something_else_in_the_place_of_an_endpoint_that_answered_before_is_waited_out(
    direct: Bench, page: Reply
) -> None:
    await direct.ask()
    direct.server.say(page, page, Reply(text="back"))

    assert (await direct.ask()).message.content == "back"
    assert len(direct.data("error")) == 2


async def test_a_redirect_to_another_host_is_refused(bench: Bench) -> None:
    with FakeModelServer() as thief:
        bench.server.say(Reply(status=307, body=b"", headers={"location": f"{thief.url}/chat/completions"}))

        with pytest.raises(ConfigurationError, match="redirects to"):
            await bench.ask()

        assert thief.asked == []


async def test_a_redirect_on_the_same_server_is_followed(direct: Bench) -> None:
    direct.server.say(Reply(status=308, body=b"", headers={"location": "/moved/chat/completions"}), Reply(text="here"))

    reply = await direct.ask()

    assert reply.message.content == "here"
    assert direct.server.asked[1].path == "/moved/chat/completions"


async def test_a_refusal_by_the_model_counts_as_filtered(direct: Bench) -> None:
    direct.server.say(Reply(fields={"refusal": "I cannot help with that."}))

    reply = await direct.ask()

    assert (reply.finish_reason, reply.message.content) == ("content_filter", "I cannot help with that.")


async def test_a_rejection_that_stays_does_not_cost_later_calls_their_options(direct: Bench) -> None:
    direct.server.say(*[error(400, "no")] * 2)
    with pytest.raises(BadRequest):
        await direct.ask(effort="high")

    await direct.ask(effort="high")

    assert direct.server.asked[-1].json["reasoning_effort"] == "high"


def test_the_errors_that_end_a_call_have_their_exit_codes() -> None:
    codes = {kind: kind.exit_code for kind in (ContextOverflow, BadRequest, Refused, QuotaExhausted, ModelFailed)}

    assert codes == {ContextOverflow: 1, BadRequest: 1, Refused: 1, QuotaExhausted: 78, ModelFailed: 1}
