"""Send one text to one destination. The only exception raised is NotDelivered; tokens go only to their own host."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from ml_intern.configs.settings import Destination
from ml_intern.configs.version import install_hint
from ml_intern.outbound.notifications.mrkdwn import to_mrkdwn
from ml_intern.safety.secrets.redaction import redact

TIMEOUT_SECONDS = 15.0
"""Limit for one attempt."""


class NotDelivered(Exception):
    """A text was not delivered; says why. `retry_after` is the delay in seconds that the service requested."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(redact(" ".join(why.split()))[:200])
        self.retry_after = retry_after


async def deliver(place: Destination, text: str) -> None:
    """Send a text that is already redacted. Raises NotDelivered."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await (_to_slack(place, text) if place.provider == "slack" else _by_apprise(place, text))
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {TIMEOUT_SECONDS:g} s") from error


async def _to_slack(place: Destination, text: str) -> None:
    await asyncio.to_thread(_load_slack)
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


def _load_slack() -> None:
    """Import the slow packages. Runs in a thread, so that the event loop is not blocked."""
    import_module("aiohttp")
    import_module("slack_sdk.web.async_client")


async def _by_apprise(place: Destination, text: str) -> None:
    try:
        await asyncio.to_thread(import_module, "apprise")
    except ImportError as error:
        raise NotDelivered(f"apprise is not installed: {install_hint('apprise')}") from error
    from apprise import Apprise, NotifyFormat

    sender = Apprise()
    if not sender.add(place.url or ""):
        raise NotDelivered("apprise does not support the destination's url")
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
