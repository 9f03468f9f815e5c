"""The shared huggingface_hub client: identified as ml-intern, silent, run in threads, with limits on waiting."""

import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ml_intern.configs.env import OWN_KEYS
from ml_intern.configs.hosts import hub_url
from ml_intern.configs.version import version
from ml_intern.models.routing import hub_token, named_hub_token
from ml_intern.net.blocking import run_in_thread
from ml_intern.net.hub_errors import HubBusy, to_tool_error
from ml_intern.safety.secrets.redaction import add_known_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

SECONDS = 60.0
"""Time limit for one `call_hub`."""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
MAX_WAIT_SECONDS = 5
"""Longest pause the library may sleep when the Hub asks for one; a longer one is reported as an error."""
MAX_FAILURES = 3
"""5xx responses within one `call_hub` before it fails."""

_set_up = threading.Lock()
_failures = threading.local()
_ready = False
_known_tokens = set[str]()
"""Tokens already known to redaction."""


def hub_api(token: str | None = None) -> "HfApi":
    """Return the Hub's client. It blocks: use it through `call_hub`. Without `token` it uses `hub_access_token`."""
    os.environ.setdefault("AI_AGENT", "ml-intern")
    from huggingface_hub import HfApi

    _silence()
    _limit()
    token = token or hub_access_token()
    return HfApi(endpoint=hub_url(), token=token or False, library_name="ml-intern", library_version=version())


def hub_access_token() -> str:
    """Return the Hub token of HF_TOKEN or of the stored login (renewed when it expires), or "". It blocks."""
    from huggingface_hub import get_token

    stored = "" if OWN_KEYS in os.environ else get_token()
    token = named_hub_token(os.environ) or stored or hub_token(os.environ) or ""
    if token and token not in _known_tokens:
        _known_tokens.add(token)
        add_known_secrets({"HF_TOKEN": token})
    return token


async def call_hub(work: Callable[["HfApi"], T], about: str = "", *, seconds: float = SECONDS) -> T:
    """Run `work` with the Hub's client in a thread and return its result. `about` names its object: "model org/name".

    Raises:
        ToolError: the error of the Hub or its library, in one line with a remedy.
    """

    def answer() -> T:
        _failures.count = 0
        try:
            return work(hub_api())
        except Exception as error:
            tool_error = to_tool_error(error, about)
            if tool_error is None:
                raise
            raise tool_error from error
        finally:
            del _failures.count

    return await run_in_thread(answer, seconds=seconds, what="the Hugging Face Hub")


def _silence() -> None:
    """Keep the library's log, warnings and progress bars off the terminal."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    logger = logging.getLogger("huggingface_hub")
    logger.handlers = [handler for handler in logger.handlers if type(handler) is not logging.StreamHandler]
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = False
    warnings.filterwarnings("ignore", module=r"huggingface_hub(\.|\Z)")
    disable_progress_bars()


def _limit() -> None:
    """Replace the library's client, which waits without limit and sleeps as long as a busy server asks."""
    global _ready  # noqa: PLW0603 the library has one client per process
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
    """Raise HubBusy for a response that would make the library wait too long."""
    status = response.status_code
    if status == 429:
        seconds = retry_after_seconds(response.headers)
        if seconds is None or seconds > MAX_WAIT_SECONDS:
            raise HubBusy(status, seconds)
    elif status >= 500 and hasattr(_failures, "count"):
        _failures.count += 1
        if _failures.count >= MAX_FAILURES:
            raise HubBusy(status, None)


def retry_after_seconds(headers: Any) -> int | None:
    """Return how long a 429 asks to wait: from the rate-limit header, else from Retry-After."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return int(limit.reset_in_seconds)
    after = headers.get("retry-after", "")
    return int(after) if after.isdigit() else None
