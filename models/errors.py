"""The faults of a model call and what is done about each. Classes, status codes and error codes decide.

Wording decides in one place only: the context overflow of servers that give no code for it.

Retryable                       waited out: one visible line, backoff or Retry-After
├── RateLimited                 429
├── ServerError                 408, 409, 425, 5xx, 529
├── ConnectFailed               no connection, no name, TLS, a connection lost before the answer
├── Stalled                     nothing arrived for the idle time
└── StreamBroken                cut, an error event, or an end without finish_reason: what arrived is discarded
MLInternError                   ends the call
├── ContextOverflow             the conversation does not fit; the loop compacts
├── BadRequest (ModelFailed)    400, 422 and the like: the gateway repairs the history once before it says so
├── Refused (ModelFailed)       content filter before any reply
├── QuotaExhausted (ConfigurationError)     429 or 402 that mean money
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

WORDS_SHOWN = 300
PROXY_REMEDY = "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
KNOWN_PAGES = frozenset({401, 403, 407, 408, 429})
"""What gateways before a model server say with a page."""
NOT_OFFERED = frozenset({405, 501, 505})
"""What other servers say to a POST."""
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
"""The model wrote what its provider could not read: it may do better."""
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
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")


class Retryable(Exception):
    """A passing fault. `retry_after` is the provider's wish in seconds, `retries` a cap below the general one."""

    def __init__(self, message: str, retry_after: float | None = None, retries: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.retries = retries


class RateLimited(Retryable):
    """The provider wants fewer requests."""


class ServerError(Retryable):
    """The provider failed or is overloaded."""


class ConnectFailed(Retryable):
    """No connection, or it was lost before an answer began."""


class Stalled(Retryable):
    """Nothing arrived for the idle time."""


class StreamBroken(Retryable):
    """The reply was cut, carried an error, or ended without saying so."""


class ContextOverflow(MLInternError):
    """The conversation does not fit the model's window; `tokens` is the window if the provider named it."""

    def __init__(self, message: str, tokens: int | None = None) -> None:
        super().__init__(message, "compact the conversation")
        self.tokens = tokens


class BadRequest(ModelFailed):
    """The provider rejected the request as malformed."""


class Refused(ModelFailed):
    """The provider's content filter refused the request."""


class QuotaExhausted(ConfigurationError):
    """The account behind the key has no credit or quota left."""


@dataclass(frozen=True)
class HttpAnswer:
    """What a provider answered instead of a reply."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes = b""

    @property
    def is_html(self) -> bool:
        """A web page, by its content type or its first characters."""
        start = self.body[:200].lstrip().lower()
        return "text/html" in self.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html"))


@dataclass(frozen=True)
class ErrorDetail:
    """The error object of a body: its machine-readable codes, its words, and the context size if it names one."""

    codes: frozenset[str] = frozenset()
    status: int | None = None
    words: str = ""
    context: int | None = None


def read_detail(body: bytes) -> ErrorDetail:
    """The error object in a JSON body, in any of the shapes in use; empty when there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorDetail()
    return detail_of(value)


def detail_of(value: Any) -> ErrorDetail:
    """The error object in decoded JSON: {"error": {...}}, {"error": "text"}, {"detail": ...}, [{...}], or bare."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return ErrorDetail(words=value if isinstance(value, str) else "")
    error = value.get("error", value)
    if not isinstance(error, dict):
        error = {**value, "message": error}
    names = [error.get("code"), error.get("type"), error.get("status"), value.get("error_type")]
    codes = frozenset(name.lower() for name in names if isinstance(name, str))
    words = error.get("message") or error.get("detail") or ""
    return ErrorDetail(
        codes, _status_in(error), words if isinstance(words, str) else json.dumps(words), _context(error)
    )


def error_of(answer: HttpAnswer, route: Route) -> Exception:
    """The fault an HTTP answer means: a Retryable, or the error that ends the call."""
    if answer.status in REDIRECTS:
        return _redirected(answer, route)
    if answer.is_html and (answer.status < 500 or answer.status in NOT_OFFERED) and answer.status not in KNOWN_PAGES:
        return _web_page(route)
    if answer.status in NOT_OFFERED and not read_detail(answer.body).words:
        return _no_model_server(answer, route)
    return error_of_detail(answer.status, read_detail(answer.body), route, answer.headers)


def error_of_detail(
    status: int, detail: ErrorDetail, route: Route, headers: Mapping[str, str] | None = None
) -> Exception:
    """The fault that a status and an error object mean together."""
    said = f"{route.where} answered {status}{_said(detail, route)}"
    if status == 402 or detail.codes & QUOTA_CODES:
        return QuotaExhausted(f"{said}: no credit or quota is left", "add credit, or choose another model with --model")
    if status in (401, 403, 407):
        return key_refused(route, status)
    overflow = overflow_of(status, detail)
    if overflow:
        return overflow
    if detail.codes & FILTER_CODES or status == 451:
        return Refused(f"the provider's content filter refused the request{_said(detail, route)}", "rephrase the task")
    if status == 404 or detail.codes & UNKNOWN_MODEL_CODES:
        return ModelUnknown(f"{route.where} does not know the model {route.name!r}", route.hint)
    if status == 429:
        return RateLimited(said, retry_after(headers or {}))
    if status in (408, 409, 425) or (status >= 500 and status not in NOT_OFFERED) or detail.codes & RETRY_CODES:
        return ServerError(said, retry_after(headers or {}))
    return BadRequest(said)


def overflow_of(status: int, detail: ErrorDetail) -> ContextOverflow | None:
    """The context overflow in an answer: by code, by status 413, or in the wording of servers that have no code."""
    limit = detail.context
    worded = False
    if status in (400, 413, 422, 500) and (found := _overflow_wording(detail.words)):
        worded, limit = True, limit or _number(found["limit"])
    if status == 413 or detail.codes & OVERFLOW_CODES or worded:
        window = f" of {limit} tokens" if limit else ""
        return ContextOverflow(f"the conversation does not fit the model's window{window}", limit)
    return None


def key_refused(route: Route, status: int) -> ConfigurationError:
    """The provider, or a proxy, refused the key; its words are left out, since some repeat the key."""
    if status == 407:
        return ConfigurationError(f"the proxy before {route.where} wants credentials", PROXY_REMEDY)
    name = route.key_env or "the key"
    if route.key_env and not route.key:
        return KeyMissing(
            f"{route.where} wants a key (status {status})", f"set {name}, or name another with --api-key-env"
        )
    return KeyMissing(f"{route.where} refused the key in {name} (status {status})", f"check {name} and what it may do")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait: retry-after-ms, or Retry-After in seconds or as a date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after", "").strip()
        if not value:
            return None
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - _their_time(headers))
    except (ValueError, TypeError, OverflowError):
        return None


def _their_time(headers: Mapping[str, str]) -> float:
    """Seconds since the epoch by the provider's clock, which need not agree with ours; by ours where it says none."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return time.time()


def clean_words(text: str, route: Route | None = None) -> str:
    """A provider's words fit for one line: no control characters, no key, at most 300 characters."""
    if route and route.key:
        text = text.replace(route.key, "[key]")
    return _CONTROL.sub(" ", redact(text[: 4 * WORDS_SHOWN])).strip()[:WORDS_SHOWN]


def _said(detail: ErrorDetail, route: Route) -> str:
    words = clean_words(detail.words, route)
    return f": {words}" if words else ""


def _web_page(route: Route) -> ConfigurationError:
    return ConfigurationError(
        f"{route.where} answered with a web page, not with an API", "check the base URL; it usually ends in /v1"
    )


def _no_model_server(answer: HttpAnswer, route: Route) -> ConfigurationError:
    return ConfigurationError(
        f"{route.where} takes no chat requests: it answered {answer.status}",
        "check the base URL; it usually ends in /v1",
    )


def _redirected(answer: HttpAnswer, route: Route) -> ConfigurationError:
    target = urlsplit(answer.headers.get("location", ""))
    host = clean_words(target.hostname or "another address")
    return ConfigurationError(
        f"{route.where} redirects to {host}; keys are not sent there", "if you trust that host, name it as the base URL"
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


def _overflow_wording(words: str) -> re.Match[str] | None:
    return next((found for pattern in OVERFLOW_WORDINGS if (found := pattern.search(words))), None)


def _number(digits: str | None) -> int | None:
    plain = (digits or "").replace(",", "")
    return int(plain) if plain.isdigit() else None
