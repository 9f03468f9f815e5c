"""Notifications to Slack and apprise; a failing destination does not delay the run."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_intern.configs.settings import Destination, Messaging
from ml_intern.configs.version import install_hint
from ml_intern.graph.events import Event
from ml_intern.outbound.notifications.deliver import NotDelivered, deliver, load
from ml_intern.outbound.notifications.notifier import Notifications
from tests.fakes.loopback import Loopback
from tests.fakes.slack import TOKEN, FakeSlack

THREAD = "3f2a0000-1111-2222-3333-444455556666"
REQUEST = {"id": "call_1", "name": "bash", "args": {"command": "rm -r <!channel> & `x`"}, "description": "deletes"}
APPROVAL = {"requests": [REQUEST], "configs": [], "since": 1.0}
DONE = {"turn": 1, "status": "done", "text": "it is trained", "iterations": 3}


def event(type: str, **data: Any) -> Event:
    return Event(type, THREAD, 1, 1.0, data)


class NotifierUnderTest:
    """Notifications to the fake server, and the problems reported to the user."""

    def __init__(self, **place: Any) -> None:
        self.problems: list[str] = []
        given = {"provider": "slack", "token": TOKEN, "channel": "C1", "allow_auto_events": True, **place}
        messaging = Messaging(enabled=True, destinations={"slack.default": Destination.model_validate(given)})
        self.to = Notifications(messaging, "/work/project", lambda what, _: self.problems.append(what))


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Any:
    with FakeSlack() as fake:
        monkeypatch.setenv("SLACK_API_URL", fake.url)
        yield fake


async def test_an_approval_shows_the_call_the_reason_and_how_to_answer(slack: FakeSlack) -> None:
    notifier = NotifierUnderTest()
    notifier.to.take(event("approval_required", **APPROVAL))
    await notifier.to.close()
    (message,) = slack.messages
    assert "bash:\n```\nrm -r &lt;!channel&gt; &amp; `x`\n```" in message["text"]
    assert "reason: deletes" in message["text"]
    assert f"ml-intern approve {THREAD} --all" in message["text"]
    assert "thread 3f2a0000 in /work/project" in message["text"]
    assert all(message[name] in (False, "0", "False") for name in ("unfurl_links", "unfurl_media"))
    assert slack.secrets == {f"Bearer {TOKEN}"}


async def test_secrets_are_redacted_and_control_characters_are_visible(slack: FakeSlack) -> None:
    notifier = NotifierUnderTest()
    notifier.to.take(
        event("turn_complete", **{**DONE, "text": "key sk-ant-api03-" + "a1B2" * 24 + " \x1b[31m\u202e ünï"})
    )
    await notifier.to.close()
    text = slack.messages[0]["text"]
    assert "a1B2a1B2" not in text
    assert "\\x1b[31m\\u202e ünï" in text


@pytest.mark.parametrize(
    "quiet",
    [
        event("error", message="busy", remedy="", exit_code=None, retry_in_s=2.0),
        event("turn_complete", **{**DONE, "status": "failed"}),
        event("tool_call", id="1", name="bash", args={}, message_id="m"),
    ],
)
async def test_retries_failed_turns_and_unselected_events_send_nothing(slack: FakeSlack, quiet: Event) -> None:
    notifier = NotifierUnderTest()
    notifier.to.take(quiet)
    await notifier.to.close()
    assert slack.messages == []


async def test_a_destination_gets_what_its_settings_allow(slack: FakeSlack) -> None:
    notifier = NotifierUnderTest(allow_auto_events=False, allow_agent_tool=True)
    notifier.to.take(event("turn_complete", **DONE))
    assert notifier.to.places() == ["slack.default"]
    assert await notifier.to.send("slack.default", "mine") == ""
    await notifier.to.close()
    assert [message["text"] for message in slack.messages] == ["mine"]


async def test_the_sender_is_as_the_settings_say(slack: FakeSlack) -> None:
    notifier = NotifierUnderTest(allow_agent_tool=True, username="trainer", icon_emoji=":robot_face:")
    assert await notifier.to.send("slack.default", "mine") == ""
    assert (slack.messages[0]["username"], slack.messages[0]["icon_emoji"]) == ("trainer", ":robot_face:")
    plain = NotifierUnderTest(allow_agent_tool=True)
    assert await plain.to.send("slack.default", "mine") == ""
    assert {"username", "icon_emoji"} & slack.messages[1].keys() == set()


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("## Results\n**0.93** F1, ~~0.9~~", "*Results*\n*0.93* F1, ~0.9~"),
        ("- one\n  * two\n1. three", "• one\n  • two\n1. three"),
        ("# A **bold** title", "*A bold title*"),
        ("see [the card](https://hf.co/a?b=1&c)", "see the card (https://hf.co/a?b=1&amp;c)"),
        ("`**kwargs` and\n```python\n# no heading\nf(**a)\n```", "`**kwargs` and\n```\n# no heading\nf(**a)\n```"),
        ("<!channel> 2 ** 3 ** 4", "&lt;!channel&gt; 2 ** 3 ** 4"),
        ("my_file_name.py __init__", "my_file_name.py *init*"),
        ("```\nopen **x**", "```\nopen **x**"),
    ],
)
async def test_markdown_is_sent_as_slack_shows_it(slack: FakeSlack, markdown: str, mrkdwn: str) -> None:
    notifier = NotifierUnderTest(allow_agent_tool=True)
    assert await notifier.to.send("slack.default", markdown) == ""
    assert slack.messages[0]["text"] == mrkdwn
    assert slack.messages[0]["mrkdwn"] in (True, "1", "True")


async def test_backticks_in_a_command_do_not_end_its_block(slack: FakeSlack) -> None:
    notifier = NotifierUnderTest()
    request = {**REQUEST, "args": {"command": "echo ``` *safe*"}}
    notifier.to.take(event("approval_required", **{**APPROVAL, "requests": [request]}))
    await notifier.to.close()
    assert "```\necho ''' *safe*\n```" in slack.messages[0]["text"]


async def test_retry_after_is_honoured(slack: FakeSlack) -> None:
    slack.limit(1)
    notifier = NotifierUnderTest()
    began = asyncio.get_running_loop().time()
    assert await notifier.to.send("slack.default", "late") == ""
    assert asyncio.get_running_loop().time() - began >= 1.0
    assert len(slack.messages) == 1


async def test_a_rejection_is_reported_once_and_not_retried(slack: FakeSlack) -> None:
    slack.refuse("not_in_channel")
    notifier = NotifierUnderTest()
    for _ in range(3):
        notifier.to.take(event("turn_complete", **DONE))
        await asyncio.sleep(0.1)
    await notifier.to.close()
    assert notifier.problems == ["notifications to slack.default fail: Slack rejected the message: not_in_channel"]
    assert len(slack.seen) == 1


async def test_a_thousand_notifications_to_a_dead_server_never_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SLACK_API_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        notifier = NotifierUnderTest()
        for _ in range(1_000):
            notifier.to.take(event("turn_complete", **DONE))
        assert notifier.problems == []  # no attempt was made yet: the event loop has not run
        await notifier.to.close()


async def test_the_token_does_not_follow_a_redirect_to_another_server(slack: FakeSlack) -> None:
    with FakeSlack() as other:
        slack.elsewhere = f"http://localhost:{other.host.rpartition(':')[2]}/chat.postMessage"
        notifier = NotifierUnderTest()
        await notifier.to.send("slack.default", "x")
        await notifier.to.close()
    assert other.secrets == set()


class Webhook(Loopback):
    """Records posted requests and answers with `status`."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        super().__init__([Route("/hook", self._post, methods=["POST"])])

    async def _post(self, request: Request) -> Response:
        self.posted.append(await request.json())
        return Response(None, self.status)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
async def test_apprise_sends_to_the_url_in_the_settings() -> None:
    with Webhook() as hook:
        notifier = NotifierUnderTest(provider="apprise", url=f"json://{hook.host}/hook", allow_agent_tool=True)
        notifier.to.take(event("approval_required", **APPROVAL))
        assert await notifier.to.send("slack.default", "key sk-ant-api03-" + "a1B2" * 24 + " \x1b[31m *ünï* <b>") == ""
        await notifier.to.close()
        own, notice = sorted((one["message"] for one in hook.posted), key=len)
    assert "reason: deletes" in notice
    assert "rm -r <!channel> & `x`" in notice
    assert own.endswith("\\x1b[31m *ünï* <b>")
    assert "a1B2a1B2" not in own


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
async def test_apprise_failures_are_reported() -> None:
    with Webhook() as hook:
        hook.status = 500
        with pytest.raises(NotDelivered, match="apprise could not send it"):
            await deliver(await load(Destination(provider="apprise", url=f"json://{hook.host}/hook")), "x")
    with pytest.raises(NotDelivered, match="apprise does not support the destination's url"):
        await load(Destination(provider="apprise", url="nothing://x"))


SLOW_PACKAGE = """
import time
sent = []

class NotifyFormat:
    TEXT = "text"

class Apprise:
    def add(self, url):
        time.sleep(2.5)  # the real one loads its plugins here
        return True

    def notify(self, body, body_format):
        sent.append(body)
        return True
"""


async def test_a_package_that_loads_slowly_uses_up_neither_the_time_of_an_attempt_nor_that_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apprise.py").write_text(SLOW_PACKAGE)
    monkeypatch.setattr("ml_intern.outbound.notifications.deliver.TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr("ml_intern.outbound.notifications.notifier.CLOSE_SECONDS", 2.0)
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "apprise"}
    monkeypatch.syspath_prepend(tmp_path)
    try:
        notifier = NotifierUnderTest(provider="apprise", url="json://127.0.0.1:1/x", allow_agent_tool=True)
        notifier.to.take(event("turn_complete", **DONE))
        problem, _ = await asyncio.gather(notifier.to.send("slack.default", "mine"), notifier.to.close())
        assert problem == ""
        sent = sys.modules["apprise"].__dict__["sent"]
    finally:
        sys.modules.pop("apprise", None)
        sys.modules.update(loaded)
    assert sorted(text.partition(" ")[0] for text in sent) == ["mine", "ml-intern,"]


async def test_a_missing_apprise_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    notifier = NotifierUnderTest(provider="apprise", url="json://127.0.0.1:1/x", allow_agent_tool=True)
    problem = await notifier.to.send("slack.default", "x")
    await notifier.to.close()
    assert problem == f"apprise is not installed: {install_hint('apprise')}"
