"""The errors of a model call, and how each is handled. Classes, status codes and error codes decide.

The wording of an error decides only whether it is a context overflow, for servers that send no code for it.

Retryable                       retried: one visible line, then backoff or Retry-After
├── RateLimited                 429
├── ServerError                 408, 409, 425, 5xx, 529
├── ConnectFailed               no connection, DNS or TLS failure
├── Stalled                     no content within the idle timeout
└── StreamBroken                incomplete, an error event, or no finish_reason: the partial reply is discarded
    └── ConnectionDropped       connection lost before the response
MLInternError                   ends the call
├── ContextOverflow             the conversation is too long; the loop compacts it
├── BadRequest (ModelFailed)    400, 422 and the like: the gateway first retries with a repaired history
├── Refused (ModelFailed)       content filter before any reply
├── QuotaExhausted (ConfigurationError)     402, or 429 for an exhausted quota
├── NotAnApi (ConfigurationError)           a web page or another API: retried if the endpoint answered before
├── KeyMissing, ModelUnknown, ConfigurationError
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ml_intern.configs.errors import ConfigurationError, KeyMissing, MLInternError, ModelFailed, ModelUnknown
from ml_intern.models.routing import Route
from ml_intern.safety.secrets.redaction import redact

MAX_MESSAGE = 300
PROXY_REMEDY = "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PAGE_STATUSES = frozenset({401, 403, 407, 408, 429})
"""Statuses that gateways in front of a model server answer with a web page."""
UNSUPPORTED = frozenset({405, 501, 505})
"""Statuses of servers that do not accept the request at all."""
QUOTA_CODES = frozenset({
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error", "insufficient_balance",
    "exceeded_current_quota_error", "credit_balance_too_low", "access_terminated",
})  # fmt: skip
OVERFLOW_CODES = frozenset({
    "context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "context_window_exceeded",
    "model_context_window_exceeded", "request_too_large",
})  # fmt: skip
FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "moderation_blocked", "invalid_prompt"})
RETRY_CODES = frozenset({"tool_use_failed", "json_validate_failed"})
"""The provider could not parse the model's output; another attempt may succeed."""
UNKNOWN_MODEL_CODES = frozenset({"model_not_found", "model_not_supported", "unknown_model"})
# vLLM, SGLang, TGI and several routed providers answer an overflow with a plain 400 or 422 and no code for it.
OVERFLOW_WORDINGS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"maximum (?:model )?(?:context|input) length (?:of|is)\D{0,20}(?P<limit>[\d,]+)",
        r"context (?:length|window) (?:of|is) (?:only )?(?P<limit>[\d,]+)",
        r"prompt is too long: [\d,]+ tokens > (?P<limit>[\d,]+)",
        r"max_(?:seq|model|total)_(?:len|tokens)\D{0,20}(?P<limit>[\d,]+)",
        r"`?inputs`? (?:tokens \+ `?max_new_tokens`? )?must (?:be|have) (?:<=|less than) (?P<limit>[\d,]+)",
        r"longer than the model'?s context length \(?(?P<limit>[\d,]+)?",
        r"input is too long for requested model(?P<limit>)",
        r"exceed context limit: [\d,]+ \+ [\d,]+ > (?P<limit>[\d,]+)",
    )
)
_CLASSES = re.compile(r"^(?:\s*(?:Error code: \d+ - )?(?:litellm\.)?\w*(?:Error|Exception)\b(?:\s*(?::|-)\s*|\s*$))+")
"""The names that litellm and other libraries put in front of a provider's message."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")


class Retryable(Exception):
    """A temporary error. `retry_after` is the provider's wait in seconds, `retries` a limit below the general one."""

    def __init__(self, message: str, retry_after: float | None = None, retries: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.retries = retries


class RateLimited(Retryable):
    """The provider limits the rate of requests."""


class ServerError(Retryable):
    """The provider failed or is overloaded."""


class ConnectFailed(Retryable):
    """The connection failed, or was lost before the response began."""


class Stalled(Retryable):
    """No content arrived within the idle timeout."""


class StreamBroken(Retryable):
    """The reply was incomplete or contained an error."""


class ConnectionDropped(StreamBroken):
    """The connection was lost before the response began. The request may have been processed."""


class ContextOverflow(MLInternError):
    """The conversation exceeds the context window; `tokens` is the window if the provider named it."""

    def __init__(self, message: str, tokens: int | None = None) -> None:
        super().__init__(message, "compact the conversation")
        self.tokens = tokens


class BadRequest(ModelFailed):
    """The provider rejected the request as malformed."""


class Refused(ModelFailed):
    """The provider's content filter refused the request."""


class NotAnApi(ConfigurationError):
    """The endpoint answered with something else than a model API, such as a web page or a redirect."""


class QuotaExhausted(ConfigurationError):
    """The account of the API key has no credit or quota left."""


@dataclass(frozen=True)
class HttpAnswer:
    """A provider's HTTP response that is not a reply of the model."""

    status: int
    headers: Mapping[str, str]
    """Header names in lower case."""
    body: bytes = b""

    @property
    def is_html(self) -> bool:
        """Whether it is a web page, by content type or first characters."""
        start = self.body[:200].lstrip().lower()
        return "text/html" in self.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html"))


@dataclass(frozen=True)
class ErrorDetail:
    """The error object of a response body: its codes, its message, and the context size if it names one."""

    codes: frozenset[str] = frozenset()
    status: int | None = None
    message: str = ""
    context: int | None = None


def read_detail(body: bytes) -> ErrorDetail:
    """Return the error object of a JSON body, in any of the known shapes. Empty when there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorDetail()
    return detail_of(value)


def detail_of(value: Any) -> ErrorDetail:
    """Return the error object of decoded JSON: {"error": {...}}, {"error": "text"}, {"detail": ...}, [{...}], bare."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return ErrorDetail(message=value if isinstance(value, str) else "")
    error = value.get("error", value)
    if not isinstance(error, dict):
        error = {**value, "message": error}
    names = [error.get("code"), error.get("type"), error.get("status"), value.get("error_type")]
    codes = frozenset(name.lower() for name in names if isinstance(name, str))
    message = error.get("message") or error.get("detail") or ""
    return ErrorDetail(
        codes, _status_in(error), message if isinstance(message, str) else json.dumps(message), _context(error)
    )


def error_of(answer: HttpAnswer, route: Route) -> Exception:
    """Convert an HTTP response to an error: a Retryable, or the error that ends the call."""
    if answer.status in REDIRECTS:
        return _redirected(answer, route)
    if answer.is_html and (answer.status < 500 or answer.status in UNSUPPORTED) and answer.status not in PAGE_STATUSES:
        return _web_page(route)
    if answer.status in UNSUPPORTED and not read_detail(answer.body).message:
        return _no_model_server(answer, route)
    return error_of_detail(answer.status, read_detail(answer.body), route, answer.headers)


def error_of_detail(
    status: int, detail: ErrorDetail, route: Route, headers: Mapping[str, str] | None = None
) -> Exception:
    """Convert a status and an error object to an error."""
    summary = f"{route.where} answered {status}{_reason(detail, route)}"
    if status == 402 or detail.codes & QUOTA_CODES:
        return QuotaExhausted(
            f"{summary}: no credit or quota is left", "add credit, or choose another model with --model"
        )
    if status in (401, 403, 407):
        return key_refused(route, status)
    overflow = overflow_of(status, detail)
    if overflow:
        return overflow
    if detail.codes & FILTER_CODES or status == 451:
        return Refused(
            f"the provider's content filter refused the request{_reason(detail, route)}", "rephrase the task"
        )
    if status == 404 or detail.codes & UNKNOWN_MODEL_CODES:
        return ModelUnknown(f"{route.where} does not know the model {route.name!r}", route.hint)
    if status == 429:
        return RateLimited(summary, retry_after(headers or {}))
    if status in (408, 409, 425) or (status >= 500 and status not in UNSUPPORTED) or detail.codes & RETRY_CODES:
        return ServerError(summary, retry_after(headers or {}))
    return BadRequest(summary)


def overflow_of(status: int, detail: ErrorDetail) -> ContextOverflow | None:
    """Recognise a context overflow by code, by status 413, or by the wording of servers that have no code."""
    limit = detail.context
    is_worded = False
    if status in (400, 413, 422, 500) and (found := _overflow_wording(detail.message)):
        is_worded, limit = True, limit or _number(found["limit"])
    if status == 413 or detail.codes & OVERFLOW_CODES or is_worded:
        window = f" of {limit} tokens" if limit else ""
        return ContextOverflow(f"the conversation exceeds the model's context window{window}", limit)
    return None


def key_refused(route: Route, status: int) -> ConfigurationError:
    """The provider or a proxy rejected the key. Its message is omitted, since some repeat the key."""
    if status == 407:
        return ConfigurationError(f"the proxy for {route.where} requires credentials", PROXY_REMEDY)
    name = route.key_env or "the key"
    if route.key_env and not route.key:
        return KeyMissing(
            f"{route.where} requires an API key (status {status})",
            f"set {name}, or name another with --api-key-env",
        )
    return KeyMissing(
        f"{route.where} rejected the key in {name} (status {status})", f"check {name} and its permissions"
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: retry-after-ms, or Retry-After in seconds or as a date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after", "").strip()
        if not value:
            return None
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - _provider_time(headers))
    except (ValueError, TypeError, OverflowError):
        return None


def _provider_time(headers: Mapping[str, str]) -> float:
    """Return the provider's time in seconds since the epoch, or the local time when it sends no date."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return time.time()


def clean_words(text: str, route: Route | None = None) -> str:
    """Make a provider's message fit for one line.

    It has no class names of libraries, no control characters, no key, and at most 300 characters.
    """
    text = _without_classes(text)
    if route and route.key:
        text = text.replace(route.key, "[key]")
    return _CONTROL.sub(" ", redact(text[: 4 * MAX_MESSAGE])).strip()[:MAX_MESSAGE]


def _without_classes(text: str) -> str:
    """Remove the class names in front of a message, and return the message of a JSON body behind them."""
    bare = _CLASSES.sub("", text)
    body = re.fullmatch(r"(?s)b?(['\"]?)\s*([{\[].*[}\]])\s*\1\s*", bare)
    found = read_detail(body[2].encode()).message if body else ""
    return _CLASSES.sub("", found or bare).replace("litellm.", "")


def _reason(detail: ErrorDetail, route: Route) -> str:
    message = clean_words(detail.message, route)
    return f": {message}" if message else ""


def _web_page(route: Route) -> NotAnApi:
    return NotAnApi(
        f"{route.where} answered with a web page instead of an API response",
        "check the base URL; it usually ends in /v1",
    )


def _no_model_server(answer: HttpAnswer, route: Route) -> NotAnApi:
    return NotAnApi(
        f"{route.where} does not accept chat requests: it answered {answer.status}",
        "check the base URL; it usually ends in /v1",
    )


def _redirected(answer: HttpAnswer, route: Route) -> NotAnApi:
    target = urlsplit(answer.headers.get("location", ""))
    host = clean_words(target.hostname or "another address")
    return NotAnApi(
        f"{route.where} redirects to {host}; keys are not sent there", "if you trust that host, use it as the base URL"
    )


def _status_in(error: Mapping[str, Any]) -> int | None:
    for key in ("status_code", "status", "code"):
        value = error.get(key)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _context(error: Mapping[str, Any]) -> int | None:
    value = error.get("n_ctx")
    return value if isinstance(value, int) and value > 0 else None


def _overflow_wording(message: str) -> re.Match[str] | None:
    return next((found for pattern in OVERFLOW_WORDINGS if (found := pattern.search(message))), None)


def _number(digits: str | None) -> int | None:
    plain = (digits or "").replace(",", "")
    return int(plain) if plain.isdigit() else None
