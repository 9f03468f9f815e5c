"""`doctor --probe`: what one model can do, found out by asking it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.commands.conftest import Done
from tests.fakes.model_server import Call, FakeModelServer, Reply, error

Run = Callable[..., Done]


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


def able(asked: dict[str, Any]) -> Reply:
    """A model that does what it is told, with a window of 8,192 tokens."""
    if len(str(asked["messages"])) > 40_000:
        return error(400, "maximum context length is 8192 tokens", "context_length_exceeded")
    if asked.get("tools"):
        return Reply(calls=[Call("say_ready", '{"word": "ready"}')])
    return Reply(text="ready, as one, two, three")


def probed(run: Run, server: FakeModelServer, *options: str) -> dict[str, str]:
    done = run("doctor", "--probe", "--json", "-m", "fake", "--base-url", server.url, *options)
    found: dict[str, str] = done.json["probe"]
    return found


def test_a_model_that_can_everything(run: Run, server: FakeModelServer) -> None:
    server.default = able
    found = probed(run, server)
    assert found["reply"].startswith("'ready, as one, two, three' after")
    assert found["streaming"].startswith("yes: 4 pieces")
    assert found["tool call"] == "yes: say_ready {'word': 'ready'}"
    assert found["window"] == "8,192 tokens, from its error message"
    assert found["cost"] == "cost unknown: 4 requests, 60 tokens in, 15 out"


def test_a_window_the_server_tells_is_not_tried(run: Run, server: FakeModelServer) -> None:
    server.models = [{"id": "fake", "max_model_len": 32_768}]
    assert probed(run, server)["window"] == "32,768 tokens, from its server"
    assert len(server.asked) == 3


def test_a_server_that_drops_what_is_too_long_is_found_out(run: Run, server: FakeModelServer) -> None:
    server.default = Reply(text="ok", usage={"prompt_tokens": 4_096, "completion_tokens": 1})
    assert probed(run, server)["window"] == "4,096 tokens; it truncates longer input silently"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(text="no tools here"), "no: it answered 'no tools here'"),
        (Reply(calls=[Call("say_ready", '{"word": ')]), "no: the arguments are not valid JSON"),
        (error(400, "tools?"), "no: it does not support tool calling, and asked by text it answered 'ok'"),
    ],
)
def test_a_model_without_tool_calls_is_told_plainly(run: Run, server: FakeModelServer, reply: Reply, said: str) -> None:
    server.models = [{"id": "fake", "max_model_len": 32_768}]
    server.default = lambda asked: reply if asked.get("tools") else Reply(text="ok")
    assert said in probed(run, server)["tool call"]


def test_a_model_that_does_not_answer_is_the_exit_code(run: Run) -> None:
    failed = run("doctor", "--probe", "-m", "scripted:/nowhere")
    assert failed.code == 78
    assert "reply  failed: cannot read the script" in failed.out


def test_doctor_says_how_to_get_a_github_token(run: Run) -> None:
    assert "GITHUB_TOKEN  not set; the tool github needs one: `gh auth token` prints yours" in run("doctor").out
