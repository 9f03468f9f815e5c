"""Routes about collections: list, create, read, change, and add an item."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fakes.hub.accounts import Refused, need_reader, refusal
from tests.fakes.hub.repositories import moment, word

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

MAX_TITLE = 60


async def listed(hub: "FakeHub", request: Request) -> Response:
    item = request.query_params.get("item", "").partition("/")[2]
    found = [one for one in hub.collections if not item or any(item == each["id"] for each in one["items"])]
    return JSONResponse([{key: value for key, value in one.items() if key != "position"} for one in found])


async def create(hub: "FakeHub", request: Request) -> Response:
    body = await request.json()
    hub.writer(request, body["namespace"])
    if len(body["title"]) > MAX_TITLE:
        raise refusal(400, f'"title" must have at most {MAX_TITLE} characters')
    for one in hub.collections:
        if (one["owner"]["name"], one["title"]) == (body["namespace"], body["title"]):
            raise _conflict(one["slug"])
    words = "-".join(body["title"].lower().split())
    made = {
        "slug": f"{body['namespace']}/{words}-{len(hub.collections):024x}",
        "title": body["title"],
        "description": body.get("description"),
        "owner": {"name": body["namespace"], "type": "user"},
        "items": [],
        "lastUpdated": moment(datetime.now(UTC)),
        "position": len(hub.collections),
        "private": body["private"],
        "theme": "green",
        "upvotes": 0,
    }
    hub.collections.append(made)
    return JSONResponse(made)


def _conflict(slug: str) -> Refused:
    return Refused(JSONResponse({"error": "This collection already exists", "slug": slug}, 409))


async def read(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse(_found(hub, request))


async def change(hub: "FakeHub", request: Request) -> Response:
    found = _writable(hub, request)
    found.update(await request.json())
    return JSONResponse({"success": True, "data": found})


async def add_item(hub: "FakeHub", request: Request) -> Response:
    found, item = _writable(hub, request), (await request.json())["item"]
    if item["type"] != "paper":
        need_reader(hub.storage.find(f"{item['type']}s", item["id"]), hub.account(request))
    if any((one["type"], one["id"]) == (item["type"], item["id"]) for one in found["items"]):
        raise refusal(409, "This item is in the collection already")
    position = len(found["items"])
    found["items"].append({"_id": f"{position:024x}", "position": position, **item})
    return JSONResponse(found)


def _found(hub: "FakeHub", request: Request) -> dict[str, Any]:
    slug = f"{word(request, 'ns')}/{word(request, 'slug')}"
    found = next((one for one in hub.collections if one["slug"] == slug), None)
    account = hub.account(request)
    if found is None or (found["private"] and not (account and account.owns(_owner(found)))):
        raise refusal(404, "Collection not found")
    return found


def _writable(hub: "FakeHub", request: Request) -> dict[str, Any]:
    found = _found(hub, request)
    hub.writer(request, _owner(found))
    return found


def _owner(collection: Mapping[str, Any]) -> str:
    return str(collection["owner"]["name"])


ROUTES = [
    ("GET", "/api/collections", listed),
    ("POST", "/api/collections", create),
    ("GET", "/api/collections/{ns}/{slug}", read),
    ("PATCH", "/api/collections/{ns}/{slug}", change),
    ("POST", "/api/collections/{ns}/{slug}/items", add_item),
]
