import json

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.models.messages import Conversion, encode, repaired
from ml_intern.models.transports.base import Trimming

PICTURE = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}


def sent(messages: list[AnyMessage], model: str = "", **left_out: bool) -> list[dict[str, object]]:
    return [json.loads(part) for _, part in Conversion(encode)(messages, model, Trimming(**left_out))]


def test_a_replaced_message_is_encoded_anew_though_its_id_stays() -> None:
    encoded = Conversion(encode)
    long, short = ToolMessage("x" * 100, tool_call_id="c", id="m"), ToolMessage("cut", tool_call_id="c", id="m")

    [(_, first)], [(_, second)] = encoded([long]), encoded([short])

    assert b"xxx" in first
    assert b"cut" in second


def test_what_was_encoded_goes_with_its_message() -> None:
    encoded = Conversion(encode)
    for turn in range(100):
        [*encoded([HumanMessage(f"message {turn}")])]

    assert sum(len(way._made) for way in encoded._ways.values()) <= 2


def test_a_conversation_that_grows_is_the_same_as_one_converted_at_once() -> None:
    call = {"name": "read", "args": {}}
    history: list[AnyMessage] = [
        HumanMessage("look"),
        AIMessage("", tool_calls=[{**call, "id": "a"}, {**call, "id": "b"}, {**call, "id": "c"}]),
        ToolMessage("plain", tool_call_id="a"),
        ToolMessage([{"type": "text", "text": "a picture"}, PICTURE], tool_call_id="b"),
        ToolMessage("plain", tool_call_id="c"),
        AIMessage("seen", additional_kwargs={"reasoning_content": "hm"}, response_metadata={"model": "one"}),
    ]
    grown = Conversion(encode)

    for length in range(len(history) + 1):
        for model in ("one", "two"):
            assert list(grown(history[:length], model)) == list(Conversion(encode)(history[:length], model))
    history[2] = ToolMessage("cut", tool_call_id="a")
    assert list(grown(history, "two")) == list(Conversion(encode)(history, "two"))
    assert list(grown(history[1:], "two")) == list(Conversion(encode)(history[1:], "two"))


def test_images_of_results_follow_the_whole_group_of_results() -> None:
    history: list[AnyMessage] = [
        AIMessage("", tool_calls=[{"name": "read", "args": {}, "id": "a"}, {"name": "read", "args": {}, "id": "b"}]),
        ToolMessage([{"type": "text", "text": "a picture"}, PICTURE], tool_call_id="a"),
        ToolMessage("plain", tool_call_id="b"),
        HumanMessage("and?"),
    ]

    roles = [message["role"] for message in sent(history)]

    assert roles == ["assistant", "tool", "tool", "user", "user"]
    assert sent(history)[1]["content"] == "a picture"
    assert sent(history)[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]


def test_reasoning_is_replayed_unless_a_server_rejects_it() -> None:
    message = AIMessage("hi", additional_kwargs={"reasoning_content": "hm"})

    assert sent([message])[0]["reasoning_content"] == "hm"
    assert "reasoning_content" not in sent([message], reasoning=True)[0]


def test_reasoning_goes_back_only_to_the_model_that_wrote_it() -> None:
    kwargs = {"reasoning_content": "hm"}
    history: list[AnyMessage] = [
        AIMessage("a", additional_kwargs=kwargs, response_metadata={"model": "one/x"}),
        AIMessage("b", additional_kwargs=kwargs, response_metadata={"model": "two/y"}),
    ]

    assert ["reasoning_content" in message for message in sent(history, "two/y")] == [False, True]
    assert ["reasoning_content" in message for message in sent(history, "one/x")] == [True, False]


def test_for_a_model_that_does_not_see_a_word_stands_in_the_place_of_images() -> None:
    history: list[AnyMessage] = [
        HumanMessage([{"type": "text", "text": "look"}, PICTURE]),
        AIMessage("", tool_calls=[{"name": "read", "args": {}, "id": "a"}]),
        ToolMessage([{"type": "text", "text": "a plot"}, PICTURE], tool_call_id="a"),
    ]

    user, _, result = sent(history, images=True)

    assert "base64" not in json.dumps([user, result])
    assert "does not accept images" in json.dumps(user)
    assert str(result["content"]).startswith("a plot\n[an image was here")


def test_blocks_only_one_provider_understands_stay_behind() -> None:
    message = AIMessage([{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "said"}])

    assert sent([message])[0]["content"] == "said"


def test_a_sound_history_is_repaired_into_the_same_objects() -> None:
    history: list[AnyMessage] = [
        SystemMessage("s"),
        HumanMessage("h"),
        AIMessage("", tool_calls=[{"name": "bash", "args": {}, "id": "a"}]),
        ToolMessage("r", tool_call_id="a"),
        AIMessage("done"),
    ]

    assert all(new is old for new, old in zip(repaired(history), history, strict=True))


def test_repairing_takes_signed_thinking_away() -> None:
    message = AIMessage("hi", additional_kwargs={"thinking_blocks": [{"signature": "s"}], "reasoning_content": "hm"})

    assert repaired([message])[0].additional_kwargs == {"reasoning_content": "hm"}


@pytest.mark.parametrize("text", ["\x00 nul", "\ud800", "\u2028 line", "emoji 😀"])
def test_any_text_is_sent_as_valid_json(text: str) -> None:
    assert sent([HumanMessage(text)])[0]["role"] == "user"
