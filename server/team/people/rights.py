"""RIGHTS: what a request to each route needs, in one table. A route that is not in it is always refused."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from ml_intern.server.web.api import READS
from ml_intern.server.web.callers import Operations
from ml_intern.server.web.requests import Forbidden
from ml_intern.session.team.people import LEVELS, Level

Right = Literal["user", "admin", "read", "answer", "write", "own"]
"""`user`: everyone who has signed in; `admin`: admins; else what the user must be allowed with the thread `{id}`."""
_THREAD: Final = "/api/threads/{id}"
RIGHTS: Final[Mapping[tuple[str, str], Right]] = {
    ("GET", "/"): "user",
    ("GET", "/rows"): "user",
    ("POST", "/new"): "user",
    ("GET", "/static/{name}"): "user",
    ("GET", "/manifest.webmanifest"): "user",
    ("POST", "/logout"): "user",
    ("GET", "/settings"): "admin",
    ("GET", "/metrics"): "admin",
    ("GET", "/t/{id}"): "read",
    ("GET", "/t/{id}/stream"): "read",
    ("GET", "/t/{id}/older"): "read",
    ("GET", "/t/{id}/panel/{name}"): "read",
    ("GET", "/t/{id}/preview"): "read",
    ("GET", "/t/{id}/export/{format}"): "read",
    ("POST", "/t/{id}/do"): "answer",
    ("POST", "/t/{id}/fork"): "own",
    ("GET", "/searches"): "admin",
    ("GET", "/searches/rows"): "admin",
    ("GET", "/s/{id}"): "admin",
    ("GET", "/s/{id}/part"): "admin",
    ("GET", "/s/{id}/report"): "admin",
    ("GET", "/s/{id}/{number}"): "admin",
    ("GET", "/api/me"): "user",
    ("GET", "/api/keys"): "user",
    ("POST", "/api/keys"): "user",
    ("GET", "/api/openapi.json"): "user",
    ("GET", "/api/threads"): "user",
    ("POST", "/api/threads"): "user",
    **{
        ("GET", f"{_THREAD}/{name}"): "read"
        for name in (*READS, "runs", "preview_undo", "state", "events", "export/{format}")
    },
    ("POST", f"{_THREAD}/operations"): "answer",
    ("POST", f"{_THREAD}/fork"): "own",
    ("GET", f"{_THREAD}/access"): "read",
    ("POST", f"{_THREAD}/access"): "own",
}
"""Rights by method and path of the route. Searches belong to folders, not to users: admins only."""
SCRIPTED: Final = "scripted:"
ENDLESS: Final = frozenset({"/t/{id}/stream", f"{_THREAD}/events"})
"""Routes whose answers have no end of their own."""


LOGGED: Final[Mapping[str, str]] = {
    "/new": "start thread",
    "/api/threads": "start thread",
    "/t/{id}/fork": "fork",
    f"{_THREAD}/fork": "fork",
    f"{_THREAD}/access": "share",
}
"""Changes by route as they are in the audit log. Operations are logged by their types."""


def covers(level: Level, needed: Level) -> bool:
    """Return whether a level includes another one."""
    return LEVELS.index(level) >= LEVELS.index(needed)


def needed_for(operation: Mapping[str, Any]) -> Level:
    """Return the level that an operation needs.

    To approve or reject a call needs `answer`. To change its arguments or to approve more than this call is as much as
    to write.
    """
    if operation.get("type") != "exec_approval":
        return "write"
    decisions = operation.get("decisions")
    answers = list(decisions.values()) if isinstance(decisions, dict) else [None]
    return "answer" if all(_is_plain(answer) for answer in answers) else "write"


def _is_plain(answer: object) -> bool:
    return isinstance(answer, dict) and answer.get("type") in ("approve", "reject") and not answer.get("always")


def check_operations(level: Level, operations: Operations) -> None:
    """Check that somebody with this level may submit operations. Raises Forbidden."""
    for operation in operations:
        if not covers(level, needed := needed_for(operation)):
            raise Forbidden(
                f"this thread is shared with you to {level}; this needs {needed}", "ask its owner for more access"
            )


def check_model(model: str, patterns: tuple[str, ...]) -> None:
    """Check that a user may name a model: one of the patterns fits. Raises Forbidden.

    A scripted model is a file on the worker, so only a pattern that begins with `scripted:` fits one. "" is the model
    in the settings.
    """
    name = model.strip()
    own = [one for one in patterns if one.startswith(SCRIPTED) or not name.startswith(SCRIPTED)]
    if name and not any(fnmatchcase(name, one) for one in own):
        raise Forbidden(f"users of this server may not use the model {name[:100]!r}", "ask its operator: team.models")
