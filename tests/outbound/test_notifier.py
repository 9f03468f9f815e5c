"""Notifications reach Slack as they should, and a destination that fails costs the run nothing."""

import asyncio
import socket
import sys
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_intern.configs.settings import Destination, Messaging
from ml_intern.graph.events import Event
from ml_intern.outbound.notifications.deliver import NotDelivered, deliver
from ml_intern.outbound.notifications.notifier import Notifications
from tests.fakes.loopback import Loopback
from tests.fakes.slack import TOKEN, FakeSlack

THREAD = "3f2a0000-1111-2222-3333-444455556666"
REQUEST = {"id": "call_1", "name": "bash", "args": {"command": "rm -r <!channel> & `x`"}, "description": "deletes"}
APPROVAL = {"requests": [REQUEST], "configs": [], "since": 1.0}
DONE = {"turn": 1, "status": "done", "text": "it is trained", "iterations": 3}


def event(type: str, **data: Any) -> Event:
    return Event(type, THREAD, 1, 1.0, data)


class ReportedModel:
    """Notifications to the fake, and what the user was told of them."""

    def __init__(self, **place: Any) -> None:
        self.said: list[str] = []
        given = {"provider": "slack", "token": TOKEN, "channel": "C1", "allow_auto_events": True, **place}
        messaging = Messaging(enabled=True, destinations={"slack.default": Destination.model_validate(given)})
        self.to = Notifications(messaging, "/work/project", lambda what, _: self.said.append(what))


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Any:
    with FakeSlack() as fake:
        monkeypatch.setenv("SLACK_API_URL", fake.url)
        yield fake


async def test_an_approval_tells_what_why_and_how_to_answer(slack: FakeSlack) -> None:
    told = ReportedModel()
    told.to.take(event("approval_required", **APPROVAL))
    await told.to.close()
    (message,) = slack.messages
    assert "bash: rm -r &lt;!channel&gt; &amp; `x`" in message["text"]
    assert "why it asks: deletes" in message["text"]
    assert f"ml-intern approve {THREAD} --all" in message["text"]
    assert "thread 3f2a0000 in /work/project" in message["text"]
    assert all(message[name] in (False, "0", "False") for name in ("unfurl_links", "unfurl_media", "mrkdwn"))
    assert slack.secrets == {f"Bearer {TOKEN}"}


async def test_secrets_and_control_characters_do_not_leave(slack: FakeSlack) -> None:
    told = ReportedModel()
    told.to.take(event("turn_complete", **{**DONE, "text": "key sk-ant-api03-" + "a1B2" * 24 + " \x1b[31m\u202e ünï"}))
    await told.to.close()
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
async def test_what_is_no_news_is_not_told(slack: FakeSlack, quiet: Event) -> None:
    told = ReportedModel()
    told.to.take(quiet)
    await told.to.close()
    assert slack.messages == []


async def test_a_destination_gets_what_its_settings_allow(slack: FakeSlack) -> None:
    told = ReportedModel(allow_auto_events=False, allow_agent_tool=True)
    told.to.take(event("turn_complete", **DONE))
    assert told.to.places() == ["slack.default"]
    assert await told.to.send("slack.default", "mine") == ""
    await told.to.close()
    assert [message["text"] for message in slack.messages] == ["mine"]


async def test_retry_after_is_honoured(slack: FakeSlack) -> None:
    slack.limit(1)
    told = ReportedModel()
    began = asyncio.get_running_loop().time()
    assert await told.to.send("slack.default", "late") == ""
    assert asyncio.get_running_loop().time() - began >= 1.0
    assert len(slack.messages) == 1


async def test_a_refusal_is_said_once_and_not_tried_again(slack: FakeSlack) -> None:
    slack.refuse("not_in_channel")
    told = ReportedModel()
    for _ in range(3):
        told.to.take(event("turn_complete", **DONE))
        await asyncio.sleep(0.1)
    await told.to.close()
    assert told.said == ["notifications to slack.default do not arrive: Slack refused it: not_in_channel"]
    assert len(slack.seen) == 1


async def test_a_thousand_notifications_to_nowhere_are_taken_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SLACK_API_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        told = ReportedModel()
        for _ in range(1_000):
            told.to.take(event("turn_complete", **DONE))
        assert told.said == []  # nothing was even tried yet: the loop never got its turn
        await told.to.close()


async def test_the_token_does_not_follow_a_redirect_to_another_server(slack: FakeSlack) -> None:
    with FakeSlack() as other:
        slack.elsewhere = f"http://localhost:{other.host.rpartition(':')[2]}/chat.postMessage"
        told = ReportedModel()
        await told.to.send("slack.default", "x")
        await told.to.close()
    assert other.secrets == set()


class Webhook(Loopback):
    """Keeps what is posted to it, and answers with `status`."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        super().__init__([Route("/hook", self._post, methods=["POST"])])

    async def _post(self, request: Request) -> Response:
        self.posted.append(await request.json())
        return Response(None, self.status)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
async def test_apprise_delivers_what_is_told_to_the_url_of_the_settings() -> None:
    with Webhook() as hook:
        told = ReportedModel(provider="apprise", url=f"json://{hook.host}/hook", allow_agent_tool=True)
        told.to.take(event("approval_required", **APPROVAL))
        assert await told.to.send("slack.default", "key sk-ant-api03-" + "a1B2" * 24 + " \x1b[31m *ünï* <b>") == ""
        await told.to.close()
        own, notice = sorted((one["message"] for one in hook.posted), key=len)
    assert "why it asks: deletes" in notice
    assert "rm -r <!channel> & `x`" in notice
    assert own.endswith("\\x1b[31m *ünï* <b>")
    assert "a1B2a1B2" not in own


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
async def test_what_apprise_cannot_do_is_said() -> None:
    with Webhook() as hook:
        hook.status = 500
        with pytest.raises(NotDelivered, match="apprise could not send it"):
            await deliver(Destination(provider="apprise", url=f"json://{hook.host}/hook"), "x")
    with pytest.raises(NotDelivered, match="apprise does not know the destination's url"):
        await deliver(Destination(provider="apprise", url="nothing://x"), "x")


async def test_apprise_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    told = ReportedModel(provider="apprise", url="json://127.0.0.1:1/x", allow_agent_tool=True)
    problem = await told.to.send("slack.default", "x")
    await told.to.close()
    assert problem == "apprise is not installed: pip install 'ml-intern[apprise]'"
