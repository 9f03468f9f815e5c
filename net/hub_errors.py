"""Turn the exceptions of huggingface_hub into one-line tool errors with a remedy."""

import re
from collections.abc import Iterator
from typing import Any

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError
from ml_intern.net.service import NotFound, TooManyRequests, Unavailable

_NOISE = re.compile(r"\(Request ID:[^)]*\)|\(Amzn Trace ID:[^)]*\)|\(Amz CF ID:[^)]*\)|\x1b\[[0-9;]*m")
_MAX_MESSAGE = 400


class HubBusy(Exception):
    """The Hub asks for a longer pause than the client waits (429), or failed several times (5xx)."""

    def __init__(self, status: int, seconds: int | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.seconds = seconds


def to_tool_error(error: BaseException, about: str = "") -> ToolError | None:
    """Return the error to show to the model, or None for a bug of ml-intern."""
    from huggingface_hub import errors

    what = about or "the request"
    for one in _chain(error):
        if isinstance(one, ToolError):
            return one
        if isinstance(one, HubBusy):
            return _busy(one.status, one.seconds)
        if isinstance(one, errors.HfHubHTTPError):
            return _response_error(one, what)
    for one in _chain(error):
        if tool_error := _client_error(one, what):
            return tool_error
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error's causes, the first one first, then the error: the library wraps what its threads raise."""
    if error is not None:
        yield from _chain(error.__cause__)
        yield error


def _busy(status: int, seconds: int | None) -> ToolError:
    if status != 429:
        return Unavailable(f"the Hub failed several times ({status}); try again later")
    when = f"in {seconds} s" if seconds is not None else "in a few minutes"
    return TooManyRequests(f"the Hub is limiting requests (429); try again {when}", seconds)


def _response_error(error: Any, what: str) -> ToolError:
    """Return the tool error for a response with an error status."""
    from huggingface_hub import errors

    status = error.response.status_code if error.response is not None else 0
    token = "the token has no access to it" if _had_token(error) else "no token is set (HF_TOKEN)"
    match error:
        case errors.GatedRepoError():
            page = f"{hub_url()}/{_page_of(what)}" if is_repository(what) else "its page"
            return ToolError(f"{what} is gated and {token}; the user must sign in and accept its terms on {page}")
        case errors.DisabledRepoError():
            return ToolError(f"{what} was disabled by the Hub; use another one")
        case errors.RevisionNotFoundError():
            return NotFound(f"{what} has no such revision; list its branches and tags with hub_repos, operation refs")
        case errors.EntryNotFoundError():
            return NotFound(f"{what} has no such file or folder; list its files with hub_repos, operation list")
        case errors.RepositoryNotFoundError():
            return NotFound(
                f"there is no {what}, or it is private and {token}; check the name and the type (model, dataset, space)"
            )
    if status == 429:
        return _busy(429, None)
    if status >= 500:
        return Unavailable(f"the Hub failed ({status}); try again later")
    return _rejected(status, error_line(error), what)


_REMEDIES = {
    401: "the token is missing, wrong or expired; the user must set a valid HF_TOKEN",
    402: "payment is required; the user can add credit in the billing settings",
    403: "the token is not allowed to do this; the user must set one with write permission there",
    404: "it does not exist; check the name",
    409: "it already exists, or it was changed at the same time; read it again",
    412: "it has changed since you read it; read it again, then repeat the change",
    413: "it is too large; upload less at once",
}


def _rejected(status: int, message: str, what: str) -> ToolError:
    remedy = _REMEDIES.get(status, "correct the request")
    kind = NotFound if status == 404 else ToolError
    return kind(f"the Hub rejected the request ({status}) for {what}: {message}; {remedy}")


def _client_error(error: BaseException, what: str) -> ToolError | None:
    """Return the tool error for what the library raised without a response of the Hub."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # the httpx the library uses

    match error:
        case errors.LocalTokenNotFoundError() | ValueError() if _needs_token(error):
            return ToolError("there is no token for the Hub; the user must set HF_TOKEN or run `hf auth login`")
        case errors.OfflineModeIsEnabled():
            return ToolError("HF_HUB_OFFLINE is set, so the Hub cannot be used; the user can unset it")
        case errors.LocalEntryNotFoundError() | httpx.HTTPError():
            return Unavailable(f"no connection to the Hub at {hub_url()} ({type(error).__name__}); try again later")
        case ValueError() | RuntimeError() | OSError() if _from_library(error):
            return ToolError(f"{what}: {error_line(error)}; correct it and try again")
    return None


def _needs_token(error: BaseException) -> bool:
    return "requires authentication" in str(error) or "Token is required" in str(error)


def _from_library(error: BaseException) -> bool:
    """Return whether the library raised the error, not ml-intern's own code."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in {"huggingface_hub", "hf_xet"}:
            return True
        trace = trace.tb_next
    return False


def error_line(error: BaseException) -> str:
    """Return the error's message as one line, without request ids."""
    line = " ".join(_NOISE.sub("", str(error)).split())
    return (line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]}…").rstrip(" .") or type(error).__name__


def is_repository(what: str) -> bool:
    """Return whether `what` is a type and a repository id, as in "dataset org/name"."""
    return bool(re.fullmatch(r"(?:model|dataset|space) [\w.-]+/[\w.-]+", what))


def _page_of(what: str) -> str:
    kind, _, name = what.partition(" ")
    return name if kind == "model" else f"{kind}s/{name}"


def _had_token(error: Any) -> bool:
    request = error.response.request if error.response is not None else None
    return bool(request is not None and request.headers.get("authorization"))
