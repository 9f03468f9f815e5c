"""The Hub's library as every tool uses it: identified as us, silent, in a thread, with limits on what it waits for."""

import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ml_intern.configs.hosts import hub_url
from ml_intern.configs.version import version
from ml_intern.models.routing import hub_token, named_hub_token
from ml_intern.net.blocking import in_thread
from ml_intern.net.hub_errors import Rationed, explained
from ml_intern.safety.secrets.redaction import add_known_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

SECONDS = 60.0
"""For one question to the Hub."""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
MAX_WAIT_SECONDS = 5
"""The Hub may ask the library to wait so long; a longer time is told instead of slept."""
MAX_FAILURES = 3
"""Answers 5xx within one question before it is given up."""

_set_up = threading.Lock()
_failures = threading.local()
_ready = False
_held = set[str]()
"""Tokens that redaction knows of already."""


def hub_api(token: str | None = None) -> "HfApi":
    """The client of the Hub. It blocks: call it by `ask_hub`. Without `token`, it uses `hub_access_token`."""
    os.environ.setdefault("AI_AGENT", "ml-intern")
    from huggingface_hub import HfApi

    _silence()
    _limit()
    token = token or hub_access_token()
    return HfApi(endpoint=hub_url(), token=token or False, library_name="ml-intern", library_version=version())


def hub_access_token() -> str:
    """The token for the Hub, or "": HF_TOKEN's, or the stored login's, renewed when it runs out. It blocks."""
    from huggingface_hub import get_token

    token = named_hub_token(os.environ) or get_token() or hub_token(os.environ) or ""
    if token and token not in _held:
        _held.add(token)
        add_known_secrets({"HF_TOKEN": token})
    return token


async def ask_hub(work: Callable[["HfApi"], T], about: str = "", *, seconds: float = SECONDS) -> T:
    """The result of `work` with the Hub's client, run in a thread. `about` is what it is about: "model org/name".

    Raises:
        ToolError: what the Hub or its library said, in one line with the remedy.
    """

    def answer() -> T:
        _failures.count = 0
        try:
            return work(hub_api())
        except Exception as error:
            fault = explained(error, about)
            if fault is None:
                raise
            raise fault from error
        finally:
            del _failures.count

    return await in_thread(answer, seconds=seconds, what="the Hugging Face Hub")


def _silence() -> None:
    """Nothing of the library's own on the terminal: its results say what matters."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    logger = logging.getLogger("huggingface_hub")
    logger.handlers = [handler for handler in logger.handlers if type(handler) is not logging.StreamHandler]
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = False
    warnings.filterwarnings("ignore", module=r"huggingface_hub(\.|\Z)")
    disable_progress_bars()


def _limit() -> None:
    """The library's own client waits for ever, and sleeps for as long as a busy server asks."""
    global _ready  # noqa: PLW0603 the library has one client a process
    from huggingface_hub import set_client_factory

    with _set_up:
        if not _ready:
            set_client_factory(_client)
            _ready = True


def _client() -> Any:
    from huggingface_hub.utils import _http

    client = _http.default_client_factory()
    client.timeout = (CONNECT_SECONDS, IDLE_SECONDS, IDLE_SECONDS, IDLE_SECONDS)
    client.event_hooks = {**client.event_hooks, "response": [*client.event_hooks["response"], _refuse_to_wait]}
    return client


def _refuse_to_wait(response: Any) -> None:
    """Raises Rationed for what the library would otherwise sleep on."""
    status = response.status_code
    if status == 429:
        seconds = waiting_seconds(response.headers)
        if seconds is None or seconds > MAX_WAIT_SECONDS:
            raise Rationed(status, seconds)
    elif status >= 500 and hasattr(_failures, "count"):
        _failures.count += 1
        if _failures.count >= MAX_FAILURES:
            raise Rationed(status, None)


def waiting_seconds(headers: Any) -> int | None:
    """How long a 429 asks to wait: by the rate limit's own header, else by Retry-After."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return int(limit.reset_in_seconds)
    after = headers.get("retry-after", "")
    return int(after) if after.isdigit() else None
