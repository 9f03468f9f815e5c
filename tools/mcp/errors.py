"""What went wrong with a server, in a few words."""

from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.visible import visible

_MOST = 300


def said_by(error: BaseException) -> str:
    """The cause in one line, secrets and control characters replaced."""
    cause = _cause(error)
    words = _known(cause) or f"{type(cause).__name__}: {cause}".removesuffix(": ")
    return visible(" ".join(redact(words).split()))[:_MOST]


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _known(cause: BaseException) -> str:
    import httpx
    from mcp import McpError

    if isinstance(cause, FileNotFoundError):
        return f"there is no program {cause.filename}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, httpx.HTTPStatusError):
        status = cause.response.status_code
        if 300 <= status < 400:
            return "it redirects to another server, which is not followed"
        why = {401: ": it wants a key in `headers`", 403: ": access is refused"}.get(status, "")
        return f"it answered {status}{why}"
    if isinstance(cause, httpx.TimeoutException):
        return "it did not answer in time"
    if isinstance(cause, httpx.HTTPError):
        return f"no connection ({type(cause).__name__})"
    if not isinstance(cause, McpError):
        return ""
    # What the library makes of a 404.
    return "there is no MCP server at its address" if str(cause) == "Session terminated" else str(cause)
