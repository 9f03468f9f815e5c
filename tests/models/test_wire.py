"""Bytes and objects off the wire, however they are cut and whatever they hold."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.models.catalog.endpoint import read_catalogue
from ml_intern.models.openai_format import part_of_chunk, part_of_reply, usage_of
from ml_intern.models.request import CallPart
from ml_intern.models.transports.sse import DoneMark, InvalidEvents, events

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["choices", "delta", "message", "content", "tool_calls", "function", "arguments", "index", "id", "name", "usage",
        "finish_reason", "refusal", "prompt_tokens", "prompt_tokens_details", "text",
        "reasoning", "provider", "status", "pricing", "input", "output"]  # fmt: skip
CATALOGUE_KEYS = ["meta", "providers", "pricing", "context_length", "max_model_len"]
SHAPED = st.recursive(JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner))


async def read(*pieces: bytes) -> list[dict[str, Any] | DoneMark]:
    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [event async for event in events(arriving())]


@given(st.lists(st.dictionaries(st.text(), JSON), max_size=4), st.data())
async def test_events_are_the_same_however_the_bytes_are_cut(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    ending = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    lines = [b"data: " + json.dumps(one, ensure_ascii=False).encode("utf-8", "replace") for one in objects]
    stream = b": a comment" + ending * 2 + b"".join(line + ending * 2 for line in lines) + b"data: [DONE]" + ending * 2
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    found = await read(*pieces)

    assert json.dumps(found[:-1]) == json.dumps([json.loads(line[6:]) for line in lines])
    assert isinstance(found[-1], DoneMark)


async def test_several_data_lines_are_one_event() -> None:
    assert await read(b'event: x\nid: 1\ndata: {"a":\ndata: 1}\n\n') == [{"a": 1}]


async def test_invalid_utf8_is_replaced() -> None:
    assert await read(b'data: {"a": "\xff"}\n\n') == [{"a": "\ufffd"}]


@pytest.mark.parametrize("data", [b"data: {oops\n\n", b"data: [1]\n\n", b'data: {"cut": "in the mid'])
async def test_what_is_no_json_object_is_said(data: bytes) -> None:
    with pytest.raises(InvalidEvents):
        await read(data)


@given(SHAPED.filter(lambda value: isinstance(value, dict)))
def test_no_object_whatever_its_shape_is_more_than_an_odd_fragment(value: dict[str, Any]) -> None:
    part_of_chunk({"choices": [value], **value}, {})
    part_of_reply({"choices": [{"message": value}], "usage": value}, {})


@given(st.lists(st.fixed_dictionaries({"id": st.text()}, optional=dict.fromkeys(CATALOGUE_KEYS, SHAPED))))
def test_no_catalogue_whatever_its_shape_stops_a_call(entries: list[dict[str, Any]]) -> None:
    assert set(read_catalogue({"data": entries})) == {entry["id"] for entry in entries}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 10**30, True, "7"])
def test_a_figure_that_is_none_is_not_entered(value: object) -> None:
    usage = usage_of({"prompt_tokens": 5, "completion_tokens": value, "cost": value})

    assert usage is not None
    assert (usage.output_tokens in (0, 1), usage.cost_usd) == (True, None)


def test_arguments_that_come_as_an_object_are_taken() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "bash", "arguments": {"command": "ls"}}}

    part = part_of_chunk({"choices": [{"delta": {"tool_calls": [call]}}]}, {})

    assert part.calls == (CallPart(0, "a", "bash", '{"command": "ls"}'),)


def test_reasoning_has_two_names_and_content_may_be_blocks() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    part = part_of_chunk({"choices": [{"delta": {"reasoning": "hm", "content": blocks}}]}, {})

    assert (part.reasoning, part.text) == ("hm", "ab")
