"""Routes about whole repositories: list, describe, create, delete, move, duplicate, branches, tags, settings."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fakes.hub.accounts import need_reader, refusal
from tests.fakes.hub.storage import KINDS, Blob, Commit, Repository

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

PAGE = 100


def word(request: Request, name: str) -> str:
    """A part of the path, unquoted."""
    return unquote(str(request.path_params[name]))


def readable(hub: "FakeHub", request: Request, *, content: bool = False) -> Repository:
    """The repository a path names, when the asker may see it."""
    found = hub.storage.find(word(request, "kind"), f"{word(request, 'ns')}/{word(request, 'name')}")
    return need_reader(found, hub.account(request), content=content)


def writable(hub: "FakeHub", request: Request) -> Repository:
    """The repository a path names, when the asker may write to it."""
    repository = readable(hub, request)
    hub.writer(request, repository.namespace)
    return repository


def commit_at(repository: Repository, revision: str) -> Commit:
    """The commit of a revision, or the Hub's error for none."""
    commit = repository.find(revision)
    if commit is None:
        raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def moment(when: datetime) -> str:
    """A time as the Hub writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def about(repository: Repository, commit: Commit | None) -> dict[str, Any]:
    """What the Hub tells about a repository."""
    card = repository.card
    return {
        "_id": "6" * 24,
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.namespace,
        "sha": commit.id if commit else None,
        "lastModified": moment(commit.date if commit else repository.created),
        "createdAt": moment(repository.created),
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": repository.downloads,
        "likes": repository.likes,
        "tags": repository.labels,
        "pipeline_tag": card.get("pipeline_tag"),
        "library_name": card.get("library_name"),
        "sdk": repository.sdk,
        "cardData": card,
        "siblings": [{"rfilename": path} for path in (commit.files if commit else {})],
        **repository.extra,
    }


async def describe(hub: "FakeHub", request: Request) -> Response:
    repository = readable(hub, request)
    revision = word(request, "rev") if "rev" in request.path_params else "main"
    empty = revision == "main" and not repository.branches
    commit = None if empty else commit_at(repository, revision)
    told = about(repository, commit)
    if request.query_params.get("blobs") and commit:
        told["siblings"] = [
            {"rfilename": path, "size": len(blob), "blobId": blob.oid} for path, blob in commit.files.items()
        ]
    return JSONResponse(told)


async def listed(hub: "FakeHub", request: Request) -> Response:
    kind, query = word(request, "kind"), request.query_params
    if kind not in KINDS:
        raise refusal(404, "Not found")
    account = hub.account(request)
    found = [one for one in hub.storage.all(kind) if not one.private or (account and account.owns(one.namespace))]
    words = " ".join(query.getlist("search")).lower().split()
    found = [one for one in found if all(text in one.id.lower() for text in words)]
    if author := query.get("author"):
        found = [one for one in found if one.namespace.lower() == author.lower()]
    wanted = [*query.getlist("filter"), *([query["pipeline_tag"]] if "pipeline_tag" in query else [])]
    found = [one for one in found if all(label in one.labels for label in wanted)]
    order = {"likes": lambda one: one.likes, "createdAt": lambda one: one.created}.get(query.get("sort", ""))
    found.sort(key=order or (lambda one: one.downloads), reverse=True)
    start, limit = int(query.get("skip", 0)), int(query.get("limit", PAGE))
    page = [about(one, one.find("main")) for one in found[start : start + limit]]
    more = {"Link": f'<{request.url.include_query_params(skip=start + limit)}>; rel="next"'}
    return JSONResponse(page, headers=more if start + limit < len(found) else {})


async def create(hub: "FakeHub", request: Request) -> Response:
    body = await request.json()
    account = hub.account(request)
    namespace = body.get("organization") or (account.name if account else "")
    hub.writer(request, namespace)
    kind, id = f"{body.get('type') or 'model'}s", f"{namespace}/{body['name']}"
    url = f"{hub.url}/{'' if kind == 'models' else kind + '/'}{id}"
    if hub.storage.find(kind, id):
        said = {"error": "You already created this repo", "url": url}
        return JSONResponse(said, 409, {"X-Error-Message": said["error"]})
    private = body.get("visibility") == "private" or body.get("private") is True
    repository = hub.storage.add(Repository(kind, id, private=private, sdk=body.get("sdk")))
    repository.commit(
        {".gitattributes": Blob(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n")}, "initial commit"
    )
    return JSONResponse({"url": url, "name": id, "id": "6" * 24})


async def delete(hub: "FakeHub", request: Request) -> Response:
    body = await request.json()
    account = hub.account(request)
    namespace = body.get("organization") or (account.name if account else "")
    found = hub.storage.find(f"{body.get('type') or 'model'}s", f"{namespace}/{body['name']}")
    repository = need_reader(found, account)
    hub.writer(request, namespace)
    hub.storage.remove(repository)
    return Response("OK")


async def move(hub: "FakeHub", request: Request) -> Response:
    body = await request.json()
    kind = f"{body.get('type') or 'model'}s"
    repository = need_reader(hub.storage.find(kind, body["fromRepo"]), hub.account(request))
    for id in (repository.id, body["toRepo"]):
        hub.writer(request, id.partition("/")[0])
    if hub.storage.find(kind, body["toRepo"]):
        raise refusal(409, "A repository with that name already exists")
    hub.storage.remove(repository)
    repository.id = body["toRepo"]
    hub.storage.add(repository)
    return Response("OK")


async def duplicate(hub: "FakeHub", request: Request) -> Response:
    source, body = readable(hub, request, content=True), await request.json()
    target = body["repository"]
    hub.writer(request, target.partition("/")[0])
    if hub.storage.find(source.kind, target):
        raise refusal(409, "You already created this repo")
    private = body.get("visibility") == "private" or body.get("private") is True
    copy = hub.storage.add(Repository(source.kind, target, private=private, sdk=source.sdk))
    copy.branches = dict(source.branches)
    return JSONResponse({"url": f"{hub.url}/{copy.url_id}"})


async def settings(hub: "FakeHub", request: Request) -> Response:
    repository, body = writable(hub, request), await request.json()
    if "visibility" in body:
        repository.private = body["visibility"] == "private"
    if "private" in body:
        repository.private = body["private"]
    if "gated" in body:
        repository.gated = body["gated"]
    return JSONResponse({"private": repository.private, "gated": repository.gated})


async def refs(hub: "FakeHub", request: Request) -> Response:
    repository = readable(hub, request)

    def told(prefix: str, found: dict[Any, Commit]) -> list[dict[str, str]]:
        return [{"name": str(n), "ref": f"{prefix}{n}", "targetCommit": c.id} for n, c in found.items()]

    pulls = [{**one, "name": one["ref"]} for one in told("refs/pr/", repository.pulls)]
    return JSONResponse(
        {
            "branches": told("refs/heads/", repository.branches),
            "tags": told("refs/tags/", repository.tags),
            "converts": [],
            **({"pullRequests": pulls} if request.query_params.get("include_prs") else {}),
        }
    )


async def commits(hub: "FakeHub", request: Request) -> Response:
    history = list(commit_at(readable(hub, request), word(request, "rev")).history())
    page = int(request.query_params.get("p", 0))
    found = [
        {"id": c.id, "title": c.title, "message": c.message, "authors": [{"user": c.author}], "date": moment(c.date)}
        for c in history[page * PAGE : (page + 1) * PAGE]
    ]
    more = {"Link": f'<{request.url.include_query_params(p=page + 1)}>; rel="next"'}
    return JSONResponse(found, headers=more if (page + 1) * PAGE < len(history) else {})


async def make_branch(hub: "FakeHub", request: Request) -> Response:
    repository, name = writable(hub, request), word(request, "rev")
    if name in repository.branches:
        raise refusal(409, f"Reference already exists: refs/heads/{name}")
    body = await request.json()
    repository.branches[name] = commit_at(repository, body.get("startingPoint") or "main")
    return Response("OK")


async def drop_branch(hub: "FakeHub", request: Request) -> Response:
    repository, name = writable(hub, request), word(request, "rev")
    if name == "main":
        raise refusal(403, "The main branch cannot be deleted")
    if repository.branches.pop(name, None) is None:
        raise refusal(404, f"There is no branch {name}", "RevisionNotFound")
    return Response("OK")


async def make_tag(hub: "FakeHub", request: Request) -> Response:
    repository, body = writable(hub, request), await request.json()
    if body["tag"] in repository.tags:
        raise refusal(409, f"Reference already exists: refs/tags/{body['tag']}")
    repository.tags[body["tag"]] = commit_at(repository, word(request, "rev"))
    return Response("OK")


async def drop_tag(hub: "FakeHub", request: Request) -> Response:
    if writable(hub, request).tags.pop(word(request, "rev"), None) is None:
        raise refusal(404, f"There is no tag {word(request, 'rev')}", "RevisionNotFound")
    return Response("OK")


async def runtime(hub: "FakeHub", request: Request) -> Response:
    space = need_reader(
        hub.storage.find("spaces", f"{word(request, 'ns')}/{word(request, 'name')}"), hub.account(request)
    )
    known = {"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}, "storage": None}
    return JSONResponse(space.extra.get("runtime", known))


async def space_logs(hub: "FakeHub", request: Request) -> Response:
    space = need_reader(
        hub.storage.find("spaces", f"{word(request, 'ns')}/{word(request, 'name')}"), hub.account(request)
    )
    lines = space.extra.get(f"{word(request, 'log')}_log", ["===== Application Startup =====", "Running on local URL"])
    written = moment(datetime.now(UTC) - timedelta(minutes=1))  # the client drops what is newer than its request
    events = [{"data": line, "timestamp": written} for line in lines]
    return Response("".join(f"data: {json.dumps(one)}\n\n" for one in events), media_type="text/event-stream")


async def auth_check(hub: "FakeHub", request: Request) -> Response:
    readable(hub, request, content=True)
    return JSONResponse({})


_ONE = "/api/{kind}/{ns}/{name}"
ROUTES = [
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("POST", "/api/repos/move", move),
    ("GET", "/api/spaces/{ns}/{name}/runtime", runtime),
    ("GET", "/api/spaces/{ns}/{name}/logs/{log}", space_logs),
    ("PUT", f"{_ONE}/settings", settings),
    ("GET", f"{_ONE}/refs", refs),
    ("GET", f"{_ONE}/auth-check", auth_check),
    ("GET", f"{_ONE}/commits/{{rev}}", commits),
    ("POST", f"{_ONE}/branch/{{rev}}", make_branch),
    ("DELETE", f"{_ONE}/branch/{{rev}}", drop_branch),
    ("POST", f"{_ONE}/tag/{{rev}}", make_tag),
    ("DELETE", f"{_ONE}/tag/{{rev}}", drop_tag),
    ("POST", f"{_ONE}/duplicate", duplicate),
    ("GET", f"{_ONE}/revision/{{rev}}", describe),
    ("GET", _ONE, describe),
    ("GET", "/api/{kind}", listed),
]
