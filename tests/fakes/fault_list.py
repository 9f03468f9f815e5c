"""What a model server does wrong, and how a turn has to end all the same. Played by tests/graph/test_fault_list.py."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal

from tests.fakes.model_server import Call, Reply, error

FIRST, SECOND = "first", "second"
NOTES = "Notes: the first step went well."
DONE = Reply(text="All done.")
PAGE = {"content-type": "text/html"}
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
LIES: Mapping[str, Any] = {"prompt_tokens": -5, "completion_tokens": 2**70, "total_tokens": "many"}
PASSING = (408, 409, 429, 500, 502, 503, 504, 529)
MANY = 25
"""No fault costs as many requests as this."""


def step(word: str, arguments: str = "", id: str | None = None) -> Call:
    """A call of the tool `step`, which notes its word."""
    return Call("step", arguments or json.dumps({"word": word}), id or f"call_{word}")


def says(*calls: Call, **fields: Any) -> Reply:
    """A reply that calls tools."""
    return Reply(text="Now a step.", calls=calls, **fields)


@dataclass(frozen=True)
class Fault:
    """After a first step the server answers so; then, if it is asked again, with a second step and the end."""

    name: str
    replies: tuple[Reply, ...]
    end: Literal["done", "failed"] = "done"
    code: int = 0
    """The exit code a headless run has."""
    words: str = ""
    """Part of what is said at the end."""
    again: bool = False
    """The last reply is given for ever."""
    ran: tuple[str, ...] = (FIRST, SECOND)
    """The steps that ran, in order."""
    streamed: bool | None = None
    """It happens only to streamed replies, or only to whole ones."""
    direct: bool = False
    """litellm hides it, or makes another fault of it."""


def stops(name: str, reply: Reply, code: int, words: str = "", **fields: Any) -> Fault:
    """A fault that ends the turn after the first step, however often it is asked."""
    return Fault(name, (reply,), "failed", code, words, again=True, ran=(FIRST,), **fields)


def mended(name: str, *replies: Reply, **fields: Any) -> Fault:
    """A fault that is over with these replies."""
    return Fault(name, replies, **fields)


def overflow(words: str, code: str | None = "context_length_exceeded") -> Reply:
    return error(400, words, code)


def refusals() -> Iterator[Fault]:
    """Answers that are no success."""
    for status in PASSING:
        yield mended(f"{status} twice", error(status, "busy"), error(status, "busy"))
    yield mended("429 with seconds to wait", error(429, "slow", retry_after="0.01"))
    yield mended("429 with a date to wait for", error(429, "slow", retry_after=format_datetime(datetime.now(UTC))))
    yield stops("429 for ever", error(429, "busy"), 75, "busy")
    yield stops("503 for ever, as a page", Reply(status=503, body=b"<html>down</html>", headers=PAGE), 75)
    yield stops("no quota", error(429, "pay first", "insufficient_quota"), 78, "no credit or quota")
    yield stops("no credit", error(402, "pay first"), 78, "no credit or quota")
    yield stops("key refused", error(401, "bad key"), 78, "rejected the key")
    yield stops("key not allowed", error(403, "not yours"), 78)
    yield stops("model unknown", error(404, "no such model", "model_not_found"), 78)
    yield stops("400 for ever", error(400, "something is wrong"), 1)
    yield stops("422 for ever", error(422, "something is wrong"), 1)
    yield mended("400 for an option", error(400, "unknown field: stream_options"))


def overflows() -> Iterator[Fault]:
    """Conversations that do not fit, in the words of four engines; compacted once."""
    yield mended("overflow, OpenAI's words", overflow("maximum context length is 6000 tokens, you requested 9000"))
    vllm = "This model's maximum context length is 6000 tokens. However, you requested 9001 tokens"
    yield mended("overflow, vLLM's words", overflow(vllm, None))
    llama = {"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error", "n_ctx": 6000}}
    yield mended("overflow, llama.cpp's words", Reply(status=400, body=json.dumps(llama).encode(), headers=JSON))
    yield mended("overflow without a number", overflow("the prompt is too long"))
    yield stops("overflow for ever", overflow("the prompt is too long"), 1, "window")


def broken() -> Iterator[Fault]:
    """Replies that end in the middle. Two calls in each: none of them runs."""
    both = says(step("lost"), step("cut", json.dumps({"word": "x" * 60})))
    for place, chunks in (("at once", 0), ("in the text", 2), ("in the arguments", 8)):
        yield mended(f"cut {place}", replace(both, cut_after=chunks), streamed=True)
        yield mended(f"stalled {place}", replace(both, stall_after=chunks), streamed=True)
        yield mended(f"an error {place}", replace(both, error_after=chunks), streamed=True)
    yield mended("cut, whole", replace(both, cut_after=1), streamed=False)
    yield mended("stalled, whole", replace(both, stall_after=1), streamed=False)
    yield mended("ended early in the text", Reply(text="half a", finish=None), streamed=True)
    yield mended("ended early in the arguments", says(step("", '{"word": "par'), finish=None), streamed=True)
    yield mended("ended early before the end of a call", says(step("lost"), finish=None), streamed=True)
    yield stops("cut for ever", replace(both, cut_after=8), 75, "after 4 attempts", streamed=True)
    yield mended("an event that is no JSON", Reply(body=b"data: {oops\n\n", headers=EVENTS))
    yield mended("an engine that died", says(step("lost"), finish="error"), streamed=True, direct=True)
    yield mended("nothing at all", Reply(body=b"", headers=EVENTS), streamed=True)


def no_servers() -> Iterator[Fault]:
    """Answers of something that is no model server."""
    page = Reply(body=b"<!doctype html><title>Hi</title>", headers=PAGE)
    yield mended("a web page twice", page, page)
    yield stops("a web page for ever", page, 75)
    away = {"location": "http://elsewhere.example/v1/chat/completions"}
    yield stops("a redirect to another host", Reply(status=307, body=b"", headers=away), 75)
    yield mended("JSON that is no reply", Reply(body=b"{}", headers=JSON), direct=True)
    yield stops("Ollama's own words", Reply(body=b'{"message": {"content": "hi"}}', headers=JSON), 75, direct=True)
    yield mended("a reply without a choice", Reply(body=b'{"choices": []}', headers=JSON), direct=True)


def ends() -> Iterator[Fault]:
    """Replies that are whole and no use."""
    yield mended("an empty reply", Reply())
    yield mended("only reasoning", Reply(reasoning="Hm."))
    yield stops("empty for ever", Reply(), 1, "empty")
    yield mended("text cut at the limit", Reply(text="It goes on", finish="length"))
    yield stops("cut at the limit for ever", Reply(text="It goes on", finish="length"), 1, "cut off")
    yield mended("a call cut at the limit", says(step("", '{"word": "par'), finish="length"))
    yield stops("filtered", Reply(text="I will", finish="content_filter"), 1, "content filter")
    yield stops("refused", Reply(fields={"refusal": "I will not."}), 1)
    yield mended("no usage", says(step(SECOND), usage=None), DONE)
    yield mended("usage that lies", says(step(SECOND), usage=LIES), DONE, direct=True)


def bad_calls() -> Iterator[Fault]:
    """Calls that cannot run: their result says why, and the model goes on."""
    arguments: Mapping[str, str] = {
        "truncated": '{"word": "par',
        "no object": '["par"]',
        "words around": 'Sure! {"word": "par"}',
        "an unknown key": '{"word": "par", "colour": 1}',
        "a missing key": "{}",
        "a wrong type": '{"word": {"a": 1}}',
        "NaN": '{"word": NaN}',
        "a number over 64 bit": '{"word": 1180591620717411303424}',
    }
    for name, text in arguments.items():
        yield mended(f"arguments: {name}", says(step("bad", text)))
    yield stops(
        "truncated arguments for ever",
        says(step("bad", '{"word": "par')),
        1,
        "malformed tool calls in 4 consecutive replies",
    )
    three = (says(step("bad", '{"word": "par')),) * 3
    yield mended(
        "three truncated calls, a good one, three more", *three, says(step("good")), *three, ran=(FIRST, "good", SECOND)
    )
    yield mended("an unknown tool", says(Call("stepp", '{"word": "par"}', "call_unknown")))
    yield Fault("the same call for ever", (says(step(FIRST)),), "failed", 1, "same", again=True, ran=(FIRST,) * 3)
    twice = says(step("a", id="same"), step("b", id="same"))
    yield mended("repeated ids", twice, ran=(FIRST, "a", "b", SECOND))
    nameless = says(replace(step("a"), id=None), replace(step("b"), id=None))
    yield mended("missing ids", nameless, ran=(FIRST, "a", "b", SECOND))
    words = [f"w{number}" for number in range(18)]
    yield mended("18 calls at once", says(*map(step, words)), ran=(FIRST, *words, SECOND))
    yield mended("an id of before", says(step("a", id=f"call_{FIRST}")), ran=(FIRST, "a", SECOND))
    yield mended("control characters", says(step(SECOND), fields={"content": "\x1b[31m\x00\ud800"}), DONE)


FAULTS = (*refusals(), *overflows(), *broken(), *no_servers(), *ends(), *bad_calls())


class FaultyModel:
    """Plays one fault: use it as the `default` of a FakeModelServer. It notes what it gave."""

    def __init__(self, fault: Fault) -> None:
        self.given: list[Reply] = []
        self._last = fault.replies[-1] if fault.again else None
        self._delegated = False
        self._steps = iter((says(step(FIRST)), *fault.replies, *(() if fault.again else (says(step(SECOND)), DONE))))

    def __call__(self, asked: dict[str, Any]) -> Reply:
        """The reply to a request: a sub-agent is asked to do the work where there is one."""
        self.given.append(self._reply({tool["function"]["name"] for tool in asked.get("tools", ())}))
        return self.given[-1]

    def _reply(self, tools: set[str]) -> Reply:
        if "delegate" in tools:
            first, self._delegated = not self._delegated, True
            return says(Call("delegate", id="call_delegate")) if first else DONE
        if not tools:  # notes for a compaction, or a trial without tools, which a server that refuses all refuses too
            return self._last if self._last and self._last.status in (400, 422) else Reply(text=NOTES)
        return next(self._steps, self._last or DONE)


def is_broken(reply: Reply) -> bool:
    """The provider may have worked on it, and nobody knows what it cost."""
    ended = reply.finish in (None, "error") if reply.body is None else reply.headers is EVENTS
    return ended or any(cut is not None for cut in (reply.cut_after, reply.stall_after, reply.error_after))


def paid(given: Sequence[Reply]) -> tuple[int, int]:
    """How many of the replies are paid for, and of how many nobody knows what they cost."""
    whole = [reply for reply in given if reply.status == 200 and reply.body is None and not is_broken(reply)]
    known = [reply for reply in whole if reply.usage is not None and reply.usage is not LIES]
    return len(known), len(whole) - len(known) + sum(map(is_broken, given))
