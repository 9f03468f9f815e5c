"""The state that a client gets which connects in the middle of a turn: the reply so far, and the calls."""

from ml_intern.graph.events import Event
from ml_intern.session.wire.current import MAX_TEXT, CurrentState
from tests.terminal.events import event


def chunk(text: str, kind: str = "text") -> Event:
    return event("assistant_chunk", message_id="m1", kind=kind, text=text)


def call(id: str) -> Event:
    return event("tool_call", id=id, name="bash", args={"command": id})


def log(id: str, text: str) -> Event:
    return event("tool_log", id=id, name="bash", text=text)


def output(id: str) -> Event:
    return event("tool_output", id=id, name="bash", text=f"result of {id}")


def after(*events: Event) -> list[tuple[str, str]]:
    """The types and the texts of the current state after these events."""
    state = CurrentState()
    for one in (event("processing", turn=1, text="go", id="u1"), *events):
        state.take(one)
    return [(one.type, str(one.data.get("text") or one.data.get("id"))) for one in state.events()[1:]]


def test_a_reply_that_streams_is_one_chunk() -> None:
    parts = [chunk("why", "reasoning"), chunk("On"), chunk(" it.")]
    assert after(*parts) == [("assistant_chunk", "why"), ("assistant_chunk", "On it.")]
    assert after(*parts, event("assistant_stream_end", message_id="m1")) == []


def test_calls_come_with_their_output_so_far_and_their_results() -> None:
    began = [chunk("On it."), event("assistant_message", text="On it."), call("a"), call("b"), log("a", "1\n")]
    running = [*began, log("a", "2\n"), output("b")]
    shown = [("tool_call", "a"), ("tool_log", "1\n2\n"), ("tool_call", "b"), ("tool_output", "result of b")]
    assert after(*running) == shown
    assert after(*running, output("a"), event("assistant_message", text="Done.")) == []
    assert after(*running, event("interrupted", reason="by the user")) == []


def test_a_command_of_the_user_is_described_while_it_runs() -> None:
    assert after(call("note_1")) == [("tool_call", "note_1")]
    assert after(call("note_1"), output("note_1")) == []


def test_of_a_long_output_the_end_is_kept() -> None:
    [_, (_, text)] = after(call("a"), *(log("a", f"{number:08}\n" * 1_000) for number in range(40)))
    assert len(text) <= MAX_TEXT
    assert text.endswith("00000039\n")
