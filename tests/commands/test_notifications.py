"""A run tells Slack of what waits for an answer, and ends as it would without."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call
from tests.fakes.slack import TOKEN, FakeSlack

Run = Callable[..., Done]


@pytest.fixture
def slack(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    with FakeSlack() as fake:
        monkeypatch.setenv("SLACK_API_URL", fake.url)
        monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("SLACK_CHANNEL_ID", "C0123")
        yield fake


def test_an_approval_nobody_could_be_asked_for_is_told(slack: FakeSlack, run: Run, script: Callable[..., str]) -> None:
    model = script({"tool_calls": [call("write", path="made.txt", content="x")]}, {"text": "done"})
    done = run("-m", model, "--approval-mode", "ask", "go")
    (message,) = slack.messages
    assert done.code == 3
    assert message["channel"] == "C0123"
    assert "write:\n```\n{" in message["text"]
    assert "ml-intern approve " in message["text"]
    assert slack.secrets == {f"Bearer {TOKEN}"}


def test_the_older_name_of_the_channel_works(
    slack: FakeSlack, run: Run, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK_CHANNEL_ID")
    monkeypatch.setenv("SLACK_CHANNEL", "C0456")
    assert run("-m", script({"text": "done"}), "go").code == 0
    assert [message["channel"] for message in slack.messages] == ["C0456"]


def test_the_agent_writes_to_a_destination_that_allows_it(
    slack: FakeSlack, run: Run, script: Callable[..., str]
) -> None:
    calls = [call("notify", message="macro F1 is <0.81>")]
    model = script({"tool_calls": calls}, {"text": "done", "expect": "sent to slack.default"})
    assert run("-m", model, "go").code == 0
    own, _ = slack.messages  # the second tells of the end of the turn
    assert own["text"].splitlines()[-1] == "macro F1 is &lt;0.81&gt;"


def test_without_a_destination_the_model_has_no_such_tool(run: Run, script: Callable[..., str]) -> None:
    events = run("--output-format", "stream-json", "-m", script({"text": "hi"}), "go").events
    assert "notify" not in events[0]["data"]["tools"]


def test_a_dead_slack_is_a_line_and_the_run_ends_well(
    slack: FakeSlack, run: Run, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9")
    done = run("-m", script({"text": "hi"}), "go")
    assert (done.code, done.out) == (0, "hi\n")
