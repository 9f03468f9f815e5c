"""What the Hub's library raises, in one line for the model: what happened to what, and the remedy."""

import re
from collections.abc import Iterator
from typing import Any

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError
from ml_intern.net.service import NotThere, TooMany, Unavailable

_NOISE = re.compile(r"\(Request ID:[^)]*\)|\(Amzn Trace ID:[^)]*\)|\(Amz CF ID:[^)]*\)|\x1b\[[0-9;]*m")
_LONGEST = 400


class Rationed(Exception):
    """The Hub asks for a pause that is not slept here (429), or failed several times (5xx)."""

    def __init__(self, status: int, seconds: int | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.seconds = seconds


def explained(error: BaseException, about: str = "") -> ToolError | None:
    """The fault that a model is told; None for an error that is nobody's but ours."""
    from huggingface_hub import errors

    what = about or "what was asked for"
    for one in _chain(error):
        if isinstance(one, ToolError):
            return one
        if isinstance(one, Rationed):
            return _busy(one.status, one.seconds)
        if isinstance(one, errors.HfHubHTTPError):
            return _answered(one, what)
    for one in _chain(error):
        if fault := _unanswered(one, what):
            return fault
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, the first cause first: the library wraps what a thread raised."""
    if error is not None:
        yield from _chain(error.__cause__)
        yield error


def _busy(status: int, seconds: int | None) -> ToolError:
    if status != 429:
        return Unavailable(f"the Hub failed several times ({status}); try again later")
    when = f"in {seconds} s" if seconds is not None else "in some minutes"
    return TooMany(f"the Hub takes no more requests now (429); try again {when}", seconds)


def _answered(error: Any, what: str) -> ToolError:
    """What the Hub answered with an error status."""
    from huggingface_hub import errors

    status = error.response.status_code if error.response is not None else 0
    token = "the token has no access to it" if _had_token(error) else "no token is set (HF_TOKEN)"
    match error:
        case errors.GatedRepoError():
            page = f"{hub_url()}/{_page_of(what)}" if about_repository(what) else "its page"
            return ToolError(f"{what} is gated and {token}; the user has to accept its terms on {page}, signed in")
        case errors.DisabledRepoError():
            return ToolError(f"{what} is disabled by the Hub; use another one")
        case errors.RevisionNotFoundError():
            return NotThere(f"{what} has no such revision; hub_repos, operation refs lists its branches and tags")
        case errors.EntryNotFoundError():
            return NotThere(f"{what} has no such file or folder; hub_repos, operation list shows what is there")
        case errors.RepositoryNotFoundError():
            return NotThere(
                f"there is no {what}, or it is private and {token}; check the name and the type (model, dataset, space)"
            )
    if status == 429:
        return _busy(429, None)
    if status >= 500:
        return Unavailable(f"the Hub failed ({status}); try again later")
    return _refused(status, words_of(error), what)


_REMEDIES = {
    401: "the token is wrong or expired, or there is none; the user has to set a valid HF_TOKEN",
    402: "it has to be paid for; the user can add credit in the billing settings",
    403: "the token may not do this; the user has to give one with write permission there",
    404: "it does not exist; check the name",
    409: "it exists already, or somebody changed it at the same time; look at it again",
    412: "it was changed meanwhile; read it again, then repeat the change",
    413: "it is too large; upload less at a time",
}


def _refused(status: int, words: str, what: str) -> ToolError:
    remedy = _REMEDIES.get(status, "correct the request")
    kind = NotThere if status == 404 else ToolError
    return kind(f"the Hub refused ({status}) for {what}: {words}; {remedy}")


def _unanswered(error: BaseException, what: str) -> ToolError | None:
    """What the library raised without an answer of the Hub."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # of whichever version it uses

    match error:
        case errors.LocalTokenNotFoundError() | ValueError() if _wants_token(error):
            return ToolError("there is no token for the Hub; the user has to set HF_TOKEN or run `hf auth login`")
        case errors.OfflineModeIsEnabled():
            return ToolError("HF_HUB_OFFLINE is set: nothing is asked of the Hub; the user can unset it")
        case errors.LocalEntryNotFoundError() | httpx.HTTPError():
            return Unavailable(f"no connection to the Hub at {hub_url()} ({type(error).__name__}); try again later")
        case ValueError() | RuntimeError() | OSError() if _is_theirs(error):
            return ToolError(f"{what}: {words_of(error)}; correct it and try again")
    return None


def _wants_token(error: BaseException) -> bool:
    return "requires authentication" in str(error) or "Token is required" in str(error)


def _is_theirs(error: BaseException) -> bool:
    """Whether the library raised it, and not code of ours that ran beside it."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in {"huggingface_hub", "hf_xet"}:
            return True
        trace = trace.tb_next
    return False


def words_of(error: BaseException) -> str:
    """What an error says, as one line without identifiers of requests."""
    line = " ".join(_NOISE.sub("", str(error)).split())
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(" .") or type(error).__name__


def about_repository(what: str) -> bool:
    """Whether `what` is a type and a name, as in "dataset org/name"."""
    return bool(re.fullmatch(r"(?:model|dataset|space) [\w.-]+/[\w.-]+", what))


def _page_of(what: str) -> str:
    kind, _, name = what.partition(" ")
    return name if kind == "model" else f"{kind}s/{name}"


def _had_token(error: Any) -> bool:
    request = error.response.request if error.response is not None else None
    return bool(request is not None and request.headers.get("authorization"))
