"""Requests to the web application: their forms and JSON, and every error as a response with one line."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.outbound.exporting.html_code import safe
from ml_intern.safety.error_log import log_error
from ml_intern.server.web.pages.layout import PageFrame
from ml_intern.server.web.watching.live import partial
from ml_intern.session.wire import codec

MAX_FIELDS = 1_000
Handler = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Request, MLInternError], Response]


async def form_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a form. Raises UsageError."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise UsageError("the request is not a form", "send application/x-www-form-urlencoded")
    try:
        text = (await request.body()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise UsageError(f"the form is not valid: {error}", "reload the page") from error


async def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request has. Raises UsageError."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise UsageError("the request is not JSON", "send application/json")
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request is not valid JSON: {error}", "send one JSON object") from error
    if not isinstance(value, dict):
        raise UsageError("the request is not a JSON object", "send one JSON object")
    return value


def text_field(body: dict[str, Any], name: str) -> str:
    """Return a text of a JSON object, "" if it is missing. Raises UsageError."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise UsageError(f"{name} is not a text", "send it as a JSON string")
    return value


def get(path: str, handler: Handler, refused: Refuse | None = None) -> Route:
    """Return a route that reads."""
    return Route(path, _guarded(handler, refused or answer_html), methods=["GET"])


def post(path: str, handler: Handler, refused: Refuse | None = None) -> Route:
    """Return a route that changes something."""
    return Route(path, _guarded(handler, refused or answer_html), methods=["POST"])


def _guarded(handler: Handler, refused: Refuse) -> Handler:
    """Return the handler with every error as a response: one line with the remedy."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException:
            raise
        except ClientDisconnect:  # it has left, or sent more than the limit
            return PlainTextResponse("The request is incomplete or too large.", 413)
        except MLInternError as error:
            return refused(request, error)
        except Exception as error:  # noqa: BLE001 every error becomes one line, and its traceback goes to the log
            return refused(request, log_error(data_home(), request.url.path, error))

    return guarded


class NotVisible(UsageError):
    """There is no such thing, or the user does not see it."""


class Forbidden(UsageError):
    """The user sees it, but may not do this."""


def _status(error: MLInternError, default: int) -> int:
    """Return the status of an error that has one of its own."""
    if isinstance(error, NotVisible):
        return 404
    return 403 if isinstance(error, Forbidden) else default


def answer_json(_: Request, error: MLInternError) -> Response:
    """Answer with an error as JSON."""
    status = {UsageError.exit_code: 400, TemporaryError.exit_code: 503}.get(error.exit_code, 500)
    return JSONResponse({"error": codec.encode_error(error)}, _status(error, status))


def answer_html(request: Request, known: MLInternError) -> Response:
    """Answer with an error: as a partial for a form, as a page else."""
    text = f"{known.message} ({known.remedy})" if known.remedy else known.message
    status = _status(known, 404 if isinstance(known, UsageError) and request.method == "GET" else 409)
    if "hx-request" in request.headers:
        return HTMLResponse(partial("#errors", f'<p class="notice error">{safe(text)}</p>'), status)
    frame: PageFrame = request.app.state.frame
    body = (
        f'<main id="main"><h1>Not found</h1><p class="plain">{safe(text)}</p><p><a href="/">All threads</a></p></main>'
    )
    return HTMLResponse(frame.page("Not found", body, "message"), status)
