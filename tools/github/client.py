"""The GitHub client (PyGithub): run in threads, without long waits, its errors reported in one line with a remedy."""

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ml_intern.configs.hosts import github_api_url
from ml_intern.execution.call import ToolError
from ml_intern.net.blocking import run_in_thread
from ml_intern.net.service import NotFound, TooManyRequests, Unavailable, user_agent

if TYPE_CHECKING:
    from github import Github

T = TypeVar("T")

SECONDS = 60.0
_REQUEST_SECONDS = 20
_EMPTY = 409


def has_token() -> bool:
    """Return whether GITHUB_TOKEN is set."""
    return bool(os.environ.get("GITHUB_TOKEN", "").strip())


async def call_github(work: Callable[["Github"], T], about: str) -> T:
    """Run `work` with a GitHub client in a thread and return its result. `about` names its object in errors.

    Raises:
        ToolError: GitHub's error in one line with a remedy.
    """
    return await run_in_thread(lambda: _answer(work, about), seconds=SECONDS, what="GitHub")


def _answer(work: Callable[["Github"], T], about: str) -> T:
    from github import Auth, Github, GithubException
    from requests.exceptions import RequestException

    token = os.environ.get("GITHUB_TOKEN", "").strip()
    client = Github(
        auth=Auth.Token(token) if token else None,
        base_url=github_api_url(),
        timeout=_REQUEST_SECONDS,
        user_agent=user_agent(),
        retry=None,
        seconds_between_requests=None,
        lazy=True,
    )
    try:
        return work(client)
    except GithubException as error:
        raise _failed(error.status, error.headers or {}, _message(error.data), about) from error
    except RequestException as error:
        raise Unavailable(f"no connection to GitHub ({type(error).__name__}); try again later") from error
    except RuntimeError as error:  # PyGithub's error for a redirect to another host
        raise ToolError(f"GitHub redirects {about} to another server; the redirect was not followed") from error
    finally:
        client.close()


def _message(data: Any) -> str:
    return str(data.get("message", "")) if isinstance(data, dict) else ""


def _failed(status: int, headers: Mapping[str, str], message: str, about: str) -> ToolError:
    if status in (403, 429) and ("rate limit" in message.lower() or headers.get("x-ratelimit-remaining") == "0"):
        return _limited(headers)
    if status == 404:
        hidden = "the token has no access to it" if has_token() else "it is private and GITHUB_TOKEN is not set"
        return NotFound(f"GitHub has no {about}, or {hidden}; check owner, name, path and ref")
    if status == _EMPTY:
        return NotFound(f"{about} is empty: it has no files yet")
    if status == 401:
        return ToolError("GitHub rejected GITHUB_TOKEN; the user must renew or unset it")
    if status >= 500:
        return Unavailable(f"GitHub failed ({status}); try again later")
    why = " ".join(message.split())[:200] or "no reason given"
    return ToolError(f"GitHub rejected the request for {about} ({status}): {why}")


def _limited(headers: Mapping[str, str]) -> TooManyRequests:
    seconds = _seconds(headers)
    when = f"in {seconds / 60:.0f} min" if seconds and seconds > 90 else f"in {seconds or 60:.0f} s"
    more = "" if has_token() else "; GITHUB_TOKEN raises the limit from 60 to 5,000 requests per hour"
    return TooManyRequests(f"GitHub is limiting requests; try again {when}{more}", seconds)


def _seconds(headers: Mapping[str, str]) -> float | None:
    if (after := headers.get("retry-after", "")).isdigit():
        return float(after)
    reset = headers.get("x-ratelimit-reset", "")
    return max(float(reset) - time.time(), 1.0) if reset.isdigit() else None
