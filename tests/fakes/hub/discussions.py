"""Routes about discussions and pull requests: list, open, read, comment, close, rename, merge."""

import difflib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fakes.hub.accounts import refusal
from tests.fakes.hub.repositories import commit_at, moment, readable, word
from tests.fakes.hub.storage import Blob, Commit, Repository

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

PAGE = 50


def _event(kind: str, author: str, number: int, **data: Any) -> dict[str, Any]:
    return {
        "id": f"{number:024x}",
        "type": kind,
        "createdAt": moment(datetime.now(UTC)),
        "author": {"name": author},
        "data": data,
    }


def _comment(author: str, text: str, number: int) -> dict[str, Any]:
    latest = {"raw": text, "html": f"<p>{text}</p>", "updatedAt": moment(datetime.now(UTC)), "author": {"name": author}}
    return _event("comment", author, number, edited=False, hidden=False, latest=latest, history=[], numEdits=0)


def open_pull(repository: Repository, author: str, title: str, text: str) -> int:
    """A pull request; its number."""
    return int(_opened(repository, author, title, text, pull=True)["num"])


def _opened(repository: Repository, author: str, title: str, text: str, *, pull: bool) -> dict[str, Any]:
    number = len(repository.discussions) + 1
    discussion = {
        "num": number,
        "title": title,
        "author": {"name": author},
        "createdAt": moment(datetime.now(UTC)),
        "status": "open",
        "isPullRequest": pull,
        "repo": {"name": repository.id, "type": repository.kind[:-1]},
        "events": [_comment(author, text, number)],
        **({"changes": {"base": "refs/heads/main"}, "filesWithConflicts": []} if pull else {}),
    }
    repository.discussions.append(discussion)
    if pull and "main" in repository.branches:
        repository.pulls.setdefault(number, repository.branches["main"])
    return discussion


def _found(repository: Repository, request: Request) -> dict[str, Any]:
    number = int(word(request, "num"))
    found = next((one for one in repository.discussions if one["num"] == number), None)
    if found is None:
        raise refusal(404, f"There is no discussion {number}", "EntryNotFound")
    return found


def _diff(old: Commit, new: Commit) -> str:
    parts = list[str]()
    for path in sorted({*old.files, *new.files}):
        before, after = old.files.get(path), new.files.get(path)
        if before == after:
            continue
        parts.append(f"diff --git a/{path} b/{path}\n")
        parts += difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}")
    return "".join(parts)


def _lines(blob: Blob | None) -> list[str]:
    return (blob.content.decode("utf-8", "replace") if blob else "").splitlines(True)


async def listed(hub: "FakeHub", request: Request) -> Response:
    repository, query = readable(hub, request), request.query_params
    found = list(reversed(repository.discussions))
    if query.get("type") in ("pull_request", "discussion"):
        found = [one for one in found if one["isPullRequest"] == (query["type"] == "pull_request")]
    if query.get("status") in ("open", "closed"):
        found = [one for one in found if (one["status"] == "open") == (query["status"] == "open")]
    if query.get("author"):
        found = [one for one in found if one["author"]["name"] == query["author"]]
    start = int(query.get("p", 0)) * PAGE
    return JSONResponse({"count": len(found), "start": start, "discussions": found[start : start + PAGE]})


async def create(hub: "FakeHub", request: Request) -> Response:
    repository, account, body = readable(hub, request), hub.account(request), await request.json()
    if account is None:
        raise refusal(401, "Invalid username or password.")
    opened = _opened(repository, account.name, body["title"], body["description"], pull=body["pullRequest"])
    return JSONResponse({"num": opened["num"]})


async def details(hub: "FakeHub", request: Request) -> Response:
    repository = readable(hub, request)
    found = _found(repository, request)
    if not found["isPullRequest"]:
        return JSONResponse(found)
    head = commit_at(repository, f"refs/pr/{found['num']}")
    return JSONResponse({**found, "diff": _diff(commit_at(repository, "main"), head)})


async def change(hub: "FakeHub", request: Request) -> Response:
    repository, account = readable(hub, request), hub.account(request)
    if account is None:
        raise refusal(401, "Invalid username or password.")
    found, raw = _found(repository, request), await request.body()
    body = json.loads(raw) if raw else {}
    number = 1000 * found["num"] + len(found["events"])
    match word(request, "resource"):
        case "comment":
            new = _comment(account.name, body["comment"], number)
        case "title":
            new = _event("title-change", account.name, number, **{"from": found["title"], "to": body["title"]})
            found["title"] = body["title"]
        case "status":
            hub.writer(request, repository.namespace)
            new = _event("status-change", account.name, number, status=body["status"])
            found["status"] = body["status"]
        case "merge":
            hub.writer(request, repository.namespace)
            if found["status"] != "open":
                raise refusal(400, "This pull request is not open")
            head = commit_at(repository, f"refs/pr/{found['num']}")
            repository.move_to("main", head)
            found["changes"]["mergeCommitId"] = head.id
            new = _event("status-change", account.name, number, status="merged")
            found["status"] = "merged"
        case other:
            raise refusal(404, f"no {other}")
    found["events"].append(new)
    return JSONResponse(dict.fromkeys(("newMessage", "newTitle", "newStatus"), new))


_ONE = "/api/{kind}/{ns}/{name}/discussions"
ROUTES = [
    ("GET", _ONE, listed),
    ("POST", _ONE, create),
    ("GET", f"{_ONE}/{{num:int}}", details),
    ("POST", f"{_ONE}/{{num:int}}/{{resource}}", change),
]
