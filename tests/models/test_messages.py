import json

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from models.messages import Encoder, repaired

PICTURE = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}


def sent(messages: list[AnyMessage], **options: bool) -> list[dict[str, object]]:
    decoded: list[dict[str, object]] = json.loads(Encoder().body(messages, **options))
    return decoded


def test_a_replaced_message_is_encoded_anew_though_its_id_stays() -> None:
    encoder = Encoder()
    long, short = ToolMessage("x" * 100, tool_call_id="c", id="m"), ToolMessage("cut", tool_call_id="c", id="m")

    first, second = encoder.body([long]), encoder.body([short])

    assert b"xxx" in first
    assert b"cut" in second


def test_what_was_encoded_goes_with_its_message() -> None:
    encoder = Encoder()
    for turn in range(100):
        encoder.body([HumanMessage(f"message {turn}")])

    assert len(encoder._whole._made) <= 1


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
    assert "reasoning_content" not in sent([message], reasoning=False)[0]


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
    assert json.loads(Encoder().body([HumanMessage(text)]))[0]["role"] == "user"
