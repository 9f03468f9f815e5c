"""A reply of the model never becomes a message with a secret in it."""

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call

from ml_intern.nodes.redaction import RedactingEmit, redacted_message

TOKEN = "hf_aB3dE5gH7jK9mN2pQ4rS6tU8vW0xY1z"


def test_text_reasoning_calls_and_malformed_calls_are_redacted() -> None:
    message = AIMessage(
        f"your token is {TOKEN}",
        id="msg_1",
        tool_calls=[tool_call(name="write", args={"lines": [f"x = '{TOKEN}'"]}, id="call_1")],
        additional_kwargs={
            "reasoning_content": f"I saw {TOKEN}.",
            "invalid_calls": {"call_2": {"error": "no JSON", "raw": f'{{"command": "echo {TOKEN}'}},
        },
    )
    redacted = redacted_message(message)
    assert redacted.id == "msg_1"
    assert TOKEN not in repr(redacted)
    assert repr(redacted).count("[redacted:hf_token]") == repr(message).count(TOKEN)


def test_signed_reasoning_with_a_secret_is_removed_and_stays_unchanged_otherwise() -> None:
    signed = {"type": "thinking", "thinking": "hmm", "signature": TOKEN}
    harmless = AIMessage("yes", additional_kwargs={"thinking_blocks": [signed]})
    assert redacted_message(harmless) is harmless
    told = AIMessage("yes", additional_kwargs={"thinking_blocks": [{**signed, "thinking": TOKEN}]})
    assert redacted_message(told).additional_kwargs == {}


def test_the_end_of_a_stream_releases_its_last_word_and_the_next_reply_begins_anew() -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    emit = RedactingEmit(lambda type, /, **data: events.append((type, data)))
    for id in ("one", "two"):
        emit("assistant_chunk", message_id=id, kind="text", text="this is reply ")
        emit("assistant_chunk", message_id=id, kind="text", text=id)
        emit("usage", input_tokens=1)
        emit("assistant_stream_end", message_id=id)
    shown = {
        id: "".join(data["text"] for _, data in events if data.get("text") and data["message_id"] == id)
        for id in ("one", "two")
    }
    assert shown == {"one": "this is reply one", "two": "this is reply two"}
    assert [type for type, _ in events if type != "assistant_chunk"] == ["usage", "assistant_stream_end"] * 2
