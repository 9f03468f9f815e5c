"""Send one text to one destination. The only exception raised is NotDelivered; tokens go only to their own host."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from ml_intern.configs.settings import Destination
from ml_intern.configs.version import install_hint
from ml_intern.outbound.notifications.mrkdwn import to_mrkdwn
from ml_intern.safety.secrets.redaction import redact

TIMEOUT_SECONDS = 15.0
"""Limit for one attempt."""

Send = Callable[[str], Awaitable[None]]
"""Sends a text to a destination whose package is loaded. Raises NotDelivered."""


class NotDelivered(Exception):
    """A text was not delivered; says why. `retry_after` is the delay in seconds that the service requested."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(redact(" ".join(why.split()))[:200])
        self.retry_after = retry_after


async def load(place: Destination) -> Send:
    """Import the package of a destination, which takes seconds on a busy machine. Raises NotDelivered."""
    return await asyncio.to_thread(_load_slack if place.provider == "slack" else _load_apprise, place)


async def deliver(send: Send, text: str) -> None:
    """Send a text that is already redacted. Raises NotDelivered.

    Loading the package is outside the limit, which would otherwise end while the text is being sent, so that a retry
    would send it twice.
    """
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await send(text)
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {TIMEOUT_SECONDS:g} s") from error


async def _to_slack(place: Destination, text: str) -> None:
    from aiohttp import ClientError
    from slack_sdk.errors import SlackApiError, SlackClientError
    from slack_sdk.web.async_client import AsyncWebClient

    base = (os.environ.get("SLACK_API_URL") or "https://slack.com/api").rstrip("/")
    client = AsyncWebClient(token=place.token, base_url=f"{base}/", timeout=int(TIMEOUT_SECONDS), retry_handlers=[])
    try:
        await client.chat_postMessage(
            channel=place.channel or "",
            text=to_mrkdwn(text),
            mrkdwn=True,
            username=place.username,
            icon_emoji=place.icon_emoji,
            unfurl_links=False,
            unfurl_media=False,
        )
    except SlackApiError as error:
        after = error.response.headers.get("Retry-After", "") if error.response.status_code == 429 else ""
        why = str(error.response.get("error", f"status {error.response.status_code}"))
        raise NotDelivered(f"Slack rejected the message: {why}", float(after) if after.isdigit() else None) from error
    except (ClientError, SlackClientError, OSError, ValueError) as error:
        raise NotDelivered(f"no connection to Slack ({type(error).__name__})") from error


def _load_slack(place: Destination) -> Send:
    """Import the slow packages. Runs in a thread, so that the event loop is not blocked."""
    import_module("aiohttp")
    import_module("slack_sdk.web.async_client")
    return partial(_to_slack, place)


def _load_apprise(place: Destination) -> Send:
    """Import apprise and its plugins. Runs in a thread, so that the event loop is not blocked. Raises NotDelivered."""
    try:
        from apprise import Apprise
    except ImportError as error:
        raise NotDelivered(f"apprise is not installed: {install_hint('apprise')}") from error
    sender = Apprise()
    if not sender.add(place.url or ""):
        raise NotDelivered("apprise does not support the destination's url")
    return partial(_by_apprise, sender)


async def _by_apprise(sender: Any, text: str) -> None:
    from apprise import NotifyFormat

    if not await _in_daemon(lambda: bool(sender.notify(body=text, body_format=NotifyFormat.TEXT))):
        raise NotDelivered("apprise could not send it")


async def _in_daemon(work: Callable[[], bool]) -> bool:
    """Run blocking work in a daemon thread, which does not delay exit, and return its result."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except Exception:  # noqa: BLE001 an apprise plugin may raise anything; the message was not sent
            result = False
        with suppress(RuntimeError):  # the event loop has closed in the meantime
            loop.call_soon_threadsafe(finish, result)

    def finish(result: object) -> None:
        if not done.done():
            done.set_result(bool(result))

    threading.Thread(target=run, name="apprise", daemon=True).start()
    return await done
