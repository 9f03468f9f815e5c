"""Images reach a model that sees, from a message or from files the agent reads; one that does not is told so."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_intern.graph.operations import Compact, RunCommand, SetModel, UserInput
from ml_intern.graph.state import estimate_tokens
from ml_intern.session.mentions import expand_mentions
from ml_intern.text.images import MAX_BYTES
from tests.fakes.model_server import Call, FakeModelServer, Reply
from tests.session.conftest import Lab, data, turn

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 1000
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SEEING, BLIND = "vllm/seer", "ollama/blind"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        modalities = {"seer": ["text", "image"], "blind": ["text"]}
        running.models = [{"id": id, "architecture": {"input_modalities": kinds}} for id, kinds in modalities.items()]
        monkeypatch.setenv("VLLM_BASE_URL", running.url)
        monkeypatch.setenv("OLLAMA_BASE_URL", running.url)
        yield running


@pytest.fixture
def plot(lab: Lab) -> Path:
    path = lab.workspace / "plot.png"
    path.write_bytes(PNG)
    return path


def reads_then_answers(asked: dict[str, Any]) -> Reply:
    if asked["messages"][-1]["role"] == "user" and "image_url" not in json.dumps(asked["messages"]):
        return Reply(calls=[Call("read", '{"path": "plot.png"}')])
    return Reply(text="I see")


def images(message: dict[str, Any]) -> list[str]:
    blocks = message["content"] if isinstance(message["content"], list) else []
    return [block["image_url"]["url"] for block in blocks if block["type"] == "image_url"]


async def test_a_mentioned_picture_is_sent_with_the_message(lab: Lab, server: FakeModelServer, plot: Path) -> None:
    expanded = expand_mentions("what is in @plot.png?", lab.workspace)
    assert expanded.notes == ("added the image plot.png",)
    async with lab.session(SEEING) as session:
        await turn(session, UserInput(expanded.text, typed="what is in @plot.png?", images=expanded.images))
        (message, _) = await session.messages()
    sent = server.asked[0].json["messages"][-1]
    assert images(sent) == [URL]
    assert "(an image, shown with this message)" in sent["content"][0]["text"]
    assert 1_000 < estimate_tokens([message]) < 3_000


async def test_a_plot_the_agent_made_is_shown_when_it_reads_it(lab: Lab, server: FakeModelServer, plot: Path) -> None:
    server.default = reads_then_answers
    async with lab.session(SEEING) as session:
        events = await turn(session, UserInput("look at the plot"))
    *_, result, shown = server.asked[1].json["messages"]
    assert result["role"] == "tool"
    assert "plot.png is an image (image/png, 6,008 bytes)" in result["content"]
    assert images(shown) == [URL]
    assert data(events, "turn_complete")[0]["text"] == "I see"


async def test_a_model_that_does_not_see_is_told_so(lab: Lab, server: FakeModelServer, plot: Path) -> None:
    server.default = reads_then_answers
    async with lab.session(BLIND) as session:
        server.say(Reply(text="hello"))
        await turn(session, UserInput("hi"))
        server.say(Reply(calls=[Call("read", '{"path": "plot.png"}')]), Reply(text="I cannot"))
        events = await turn(session, UserInput("look at the plot"))
    assert "ollama/blind does not accept images" in data(events, "tool_output")[0]["text"]
    assert "base64" not in json.dumps(server.asked[-1].json)


def test_a_user_is_told_that_the_model_does_not_see(lab: Lab, plot: Path) -> None:
    expanded = expand_mentions("see @plot.png", lab.workspace, no_images=BLIND)
    assert expanded.images == ()
    assert expanded.notes == ("plot.png was not sent: ollama/blind does not accept images; only its name was added",)


def test_a_picture_that_is_too_large_is_said(lab: Lab) -> None:
    (lab.workspace / "huge.png").write_bytes(PNG + b"\0" * MAX_BYTES)
    assert "larger than 3 MB" in expand_mentions("@huge.png", lab.workspace).notes[0]


async def test_pictures_are_left_out_for_another_model_and_by_a_compaction(
    lab: Lab, server: FakeModelServer, plot: Path
) -> None:
    server.default = reads_then_answers
    async with lab.session(SEEING) as session:
        await turn(session, UserInput("look at the plot"))
        server.default = Reply(text="notes")
        await turn(session, SetModel(BLIND), "ready")
        await turn(session, UserInput("and now?"))
        assert "base64" not in json.dumps(server.asked[-1].json)
        await turn(session, SetModel(SEEING), "ready")
        for text in ("more", "and more"):
            await turn(session, UserInput(text))
        assert "base64" in json.dumps(server.asked[-1].json)
        await turn(session, Compact())
        await turn(session, UserInput("go on"))
    assert "base64" not in json.dumps(server.asked[-1].json)


async def test_the_images_that_a_call_wrote_are_named_and_no_other_file(lab: Lab, plot: Path) -> None:
    """`kept.png` is only named, `notes.png` is text, and nothing names `made.png`, whose writing is seen."""
    (lab.workspace / "kept.png").write_bytes(PNG)
    command = (
        "cp plot.png out.png; cp plot.png made.png; echo text > notes.png; echo 'saved out.png. kept.png notes.png'"
    )
    async with lab.session(lab.script({"text": "ok"})) as session:
        events = await turn(session, RunCommand(command), "tool_output")
        read = await turn(session, RunCommand("cat plot.png out.png > /dev/null"), "tool_output")
    (output,), (nothing,) = data(events, "tool_output"), data(read, "tool_output")
    seen = {str(lab.workspace / name) for name in ("out.png", "made.png")}
    assert str(lab.workspace / "out.png") in output["images"]
    assert set(output["images"]) <= seen
    assert sys.platform != "linux" or set(output["images"]) == seen
    assert nothing["images"] == []
