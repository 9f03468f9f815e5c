"""Routes about files: trees, uploads by commit and by git LFS, downloads whole and in ranges."""

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.fakes.hub.accounts import refusal
from tests.fakes.hub.discussions import open_pull
from tests.fakes.hub.repositories import commit_at, moment, readable, word, writable
from tests.fakes.hub.storage import Blob, Commit, Repository, upload_mode

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

PAGE = 1000
_PIECE = 1 << 20


def _file(path: str, blob: Blob, commit: Commit, *, expand: bool) -> dict[str, Any]:
    lfs = {"oid": blob.sha256, "size": len(blob), "pointerSize": len(blob.pointer)}
    last = {"id": commit.id, "title": commit.title, "date": moment(commit.date)}
    return {
        "type": "file",
        "oid": blob.oid,
        "size": len(blob),
        "path": path,
        **({"lfs": lfs} if blob.lfs else {}),
        **({"lastCommit": last, "securityFileStatus": None} if expand else {}),
    }


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}


def _entries(commit: Commit, under: str, *, recursive: bool, expand: bool) -> list[dict[str, Any]]:
    prefix = f"{under}/" if under else ""
    inside = {path: blob for path, blob in sorted(commit.files.items()) if path.startswith(prefix)}
    folders, files = dict[str, Any](), list[dict[str, Any]]()
    for path, blob in inside.items():
        parts = path[len(prefix) :].split("/")
        depth = len(parts) if recursive else min(len(parts), 2)
        for end in range(1, depth):
            folder = prefix + "/".join(parts[:end])
            folders.setdefault(folder, _folder(folder))
        if recursive or len(parts) == 1:
            files.append(_file(path, blob, commit, expand=expand))
    return [*folders.values(), *files]


async def tree(hub: "FakeHub", request: Request) -> Response:
    repository, query = readable(hub, request), request.query_params
    commit = commit_at(repository, word(request, "rev"))
    under = word(request, "path").strip("/") if "path" in request.path_params else ""
    found = _entries(commit, under, recursive=query.get("recursive") == "true", expand=query.get("expand") == "true")
    if under and not found:
        raise refusal(404, f"{under} does not exist on {word(request, 'rev')}", "EntryNotFound")
    start = int(query.get("cursor", 0))
    more = {"Link": f'<{request.url.include_query_params(cursor=start + PAGE)}>; rel="next"'}
    return JSONResponse(found[start : start + PAGE], headers=more if start + PAGE < len(found) else {})


async def paths_info(hub: "FakeHub", request: Request) -> Response:
    commit = commit_at(readable(hub, request), word(request, "rev"))
    asked = parse_qs((await request.body()).decode())
    expand = asked.get("expand", [""])[0].lower() == "true"
    found = list[dict[str, Any]]()
    for path in asked.get("paths", []):
        if path in commit.files:
            found.append(_file(path, commit.files[path], commit, expand=expand))
        elif any(one.startswith(f"{path}/") for one in commit.files):
            found.append(_folder(path))
    return JSONResponse(found)


async def preupload(hub: "FakeHub", request: Request) -> Response:
    repository, body = _target(hub, request), await request.json()
    commit = repository.find(word(request, "rev"))
    known = {path: blob.oid for path, blob in commit.files.items()} if commit else {}
    return JSONResponse(
        {
            "files": [
                {
                    "path": one["path"],
                    "uploadMode": upload_mode(one["path"], one["size"]),
                    "shouldIgnore": False,
                    "oid": known.get(one["path"]),
                }
                for one in body["files"]
            ]
        }
    )


def _target(hub: "FakeHub", request: Request) -> Repository:
    """A pull request may come from anybody who can read."""
    if request.query_params.get("create_pr") and hub.account(request):
        return readable(hub, request)
    return writable(hub, request)


async def commit(hub: "FakeHub", request: Request) -> Response:
    repository, account = _target(hub, request), hub.account(request)
    author = account.name if account else ""
    lines = [json.loads(line) for line in (await request.body()).splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    changes = dict(_change(hub, line) for line in lines if line["key"] != "header")
    base = word(request, "rev")
    commit_at(repository, base) if repository.branches else None
    if header.get("parentCommit") and not commit_at(repository, base).id.startswith(header["parentCommit"]):
        raise refusal(412, "A commit has happened since. Please refresh and try again.")
    number = None
    if request.query_params.get("create_pr"):
        number = open_pull(repository, author, header["summary"], header.get("description", ""))
        repository.pulls[number] = commit_at(repository, base)
    done = repository.commit(
        changes,
        header["summary"],
        message=header.get("description", ""),
        author=author,
        revision=f"refs/pr/{number}" if number else base,
    )
    told = {"success": True, "commitOid": done.id, "commitUrl": f"{hub.url}/{repository.url_id}/commit/{done.id}"}
    pull = {"pullRequestUrl": f"{hub.url}/{repository.url_id}/discussions/{number}"} if number else {}
    return JSONResponse({**told, "hookOutput": "", **pull})


def _change(hub: "FakeHub", line: dict[str, Any]) -> tuple[str, Blob | None]:
    value = line["value"]
    match line["key"]:
        case "file":
            return value["path"], Blob(base64.b64decode(value["content"]))
        case "lfsFile":
            content = hub.storage.content(value["oid"])
            if content is None and (stored := hub.xet.by_sha256(value["oid"])):
                content = hub.storage.uploaded[value["oid"]] = hub.xet.get(stored)
            if content is None:
                raise refusal(400, f"Your push was rejected: {value['path']} was not uploaded to LFS")
            return value["path"], Blob(content, lfs=True)
        case "deletedFolder":
            return value["path"].rstrip("/") + "/", None
        case _:
            return value["path"], None


async def lfs_batch(hub: "FakeHub", request: Request) -> Response:
    if hub.account(request) is None:
        raise refusal(401, "Invalid username or password.")
    objects = [_offer(hub, one) for one in (await request.json())["objects"]]
    return JSONResponse({"transfer": "basic", "objects": objects})


def _offer(hub: "FakeHub", wanted: dict[str, Any]) -> dict[str, Any]:
    known = {"oid": wanted["oid"], "size": wanted["size"]}
    if hub.storage.content(wanted["oid"]) is not None:
        return known
    verify = {"href": f"{hub.url}/lfs-verify"}
    return {**known, "actions": {"upload": {"href": f"{hub.cdn_url}/lfs/{wanted['oid']}"}, "verify": verify}}


async def lfs_put(hub: "FakeHub", request: Request) -> Response:
    hub.storage.uploaded[word(request, "sha")] = await request.body()
    return Response()


async def lfs_get(hub: "FakeHub", request: Request) -> Response:
    for kind in ("models", "datasets", "spaces"):
        for repository in hub.storage.all(kind):
            tips = [*repository.branches.values(), *repository.pulls.values()]
            for blob in (blob for tip in tips for one in tip.history() for blob in one.files.values()):
                if blob.sha256 == word(request, "sha"):
                    return _content(request, blob, {})
    raise refusal(404, "no such object")


async def lfs_verify(hub: "FakeHub", request: Request) -> Response:
    wanted = (await request.json())["oid"]
    return Response("" if hub.storage.content(wanted) is not None else "missing", 200 if wanted else 404)


async def resolve(hub: "FakeHub", request: Request) -> Response:
    request.path_params.setdefault("kind", "models")
    repository = readable(hub, request, content=True)
    found, path = commit_at(repository, word(request, "rev")), word(request, "path")
    named = {"X-Repo-Commit": found.id}
    blob = found.files.get(path)
    if blob is None:
        raise refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=found.id)
    if blob.lfs:
        linked = {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob))}
        return RedirectResponse(f"{hub.cdn_url}/lfs/{blob.sha256}?name={quote(path)}", 302, {**named, **linked})
    return _content(request, blob, named)


def _content(request: Request, blob: Blob, headers: dict[str, str]) -> Response:
    start, stop, status = 0, len(blob), 200
    if match := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        start, stop, status = int(match[1]), min(int(match[2] or stop - 1) + 1, stop), 206
        if start >= len(blob):
            return Response("", 416, {"Content-Range": f"bytes */{len(blob)}"})
        headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(blob)}"}
    told = {**headers, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes", "Content-Length": str(stop - start)}
    if request.method == "HEAD":
        return Response(b"", status, told)
    pieces = (blob.read(at, min(at + _PIECE, stop)) for at in range(start, stop, _PIECE))
    return StreamingResponse(pieces, status, told, "application/octet-stream")


_ONE = "/api/{kind}/{ns}/{name}"
ROUTES = [
    ("GET", f"{_ONE}/tree/{{rev}}", tree),
    ("GET", f"{_ONE}/tree/{{rev}}/{{path:path}}", tree),
    ("POST", f"{_ONE}/paths-info/{{rev}}", paths_info),
    ("POST", f"{_ONE}/preupload/{{rev}}", preupload),
    ("POST", f"{_ONE}/commit/{{rev}}", commit),
    ("POST", "/{ns}/{name}.git/info/lfs/objects/batch", lfs_batch),
    ("POST", "/{kind}/{ns}/{name}.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", "/lfs/{sha}", lfs_put),
    ("GET HEAD", "/lfs/{sha}", lfs_get),
    ("POST", "/lfs-verify", lfs_verify),
    ("GET HEAD", "/{kind}/{ns}/{name}/resolve/{rev}/{path:path}", resolve),
    ("GET HEAD", "/{ns}/{name}/resolve/{rev}/{path:path}", resolve),
]
