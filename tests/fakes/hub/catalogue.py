"""Routes that are about no single repository: accounts, cards, papers, documentation, models, the API."""

import re
from typing import TYPE_CHECKING, Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.fakes.hub.accounts import need_reader, refusal
from tests.fakes.hub.repositories import about, word

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub


async def whoami(hub: "FakeHub", request: Request) -> Response:
    account = hub.account(request)
    if account is None:
        raise refusal(401, "Invalid username or password.")
    return JSONResponse(
        {
            "type": "user",
            "id": "1" * 24,
            "name": account.name,
            "fullname": account.name.title(),
            "isPro": False,
            "canPay": account.can_pay,
            "orgs": [{"type": "org", "name": name, "id": "2" * 24} for name in account.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}},
        }
    )


async def device_code(hub: "FakeHub", request: Request) -> Response:
    """The beginning of a login with the browser; the first question for its token comes too early."""
    hub.logins_pending = 1
    page = f"{hub.url}/device"
    return JSONResponse({"device_code": "D", "user_code": "WORD-1234", "verification_uri": page, "interval": 0})


async def device_token(hub: "FakeHub", request: Request) -> Response:
    if hub.logins_pending:
        hub.logins_pending -= 1
        return JSONResponse({"error": "authorization_pending"}, 400)
    return JSONResponse({"access_token": next(iter(hub.accounts)), "token_type": "bearer"})


async def validate_yaml(hub: "FakeHub", request: Request) -> Response:
    content = (await request.json())["content"]
    match = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
    try:
        card = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        errors = [{"message": f"YAML: {error}".splitlines()[0], "line": 1}]
        return JSONResponse({"errors": errors, "warnings": []}, 400)
    if card is not None and not isinstance(card.get("license", ""), str | list):
        return JSONResponse({"errors": [{"message": '"license" must be a string'}], "warnings": []}, 400)
    warnings = [] if card else [{"message": "empty or missing yaml metadata in repo card"}]
    return JSONResponse({"errors": [], "warnings": warnings})


def _paper(hub: "FakeHub", id: str) -> dict[str, Any]:
    if id not in hub.papers:
        raise refusal(404, f"Paper not found: {id}")
    return hub.papers[id]


async def search_papers(hub: "FakeHub", request: Request) -> Response:
    words = request.query_params.get("q", "").lower().split()
    found = [
        paper
        for paper in hub.papers.values()
        if all(word in f"{paper.get('title', '')} {paper.get('summary', '')}".lower() for word in words)
    ]
    limit = int(request.query_params.get("limit", 20))
    return JSONResponse([{"paper": paper, "title": paper.get("title")} for paper in found[:limit]])


async def daily_papers(hub: "FakeHub", request: Request) -> Response:
    found = [paper for paper in hub.papers.values() if paper.get("daily")]
    limit = int(request.query_params.get("limit", 50))
    return JSONResponse([{"paper": paper, "title": paper.get("title")} for paper in found[:limit]])


async def paper(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse({key: value for key, value in _paper(hub, word(request, "id")).items() if key != "markdown"})


async def paper_text(hub: "FakeHub", request: Request) -> Response:
    found = _paper(hub, word(request, "id").removesuffix(".md"))
    if "markdown" not in found:
        raise refusal(404, "this paper has no page as text")
    return PlainTextResponse(found["markdown"], media_type="text/markdown")


async def leaderboard(hub: "FakeHub", request: Request) -> Response:
    id = f"{word(request, 'ns')}/{word(request, 'name')}"
    need_reader(hub.storage.find("datasets", id), hub.account(request))
    if id not in hub.leaderboards:
        raise refusal(404, "This dataset has no leaderboard")
    return JSONResponse(hub.leaderboards[id])


async def search_spaces(hub: "FakeHub", request: Request) -> Response:
    words = request.query_params.get("q", "").lower().split()
    found = [one for one in hub.storage.all("spaces") if any(word in one.id.lower() for word in words)]
    shown = [{**about(one, one.find("main")), "semanticRelevancyScore": 0.5} for one in found if not one.private]
    return JSONResponse(shown)


async def search_docs(hub: "FakeHub", request: Request) -> Response:
    query, product = request.query_params.get("q", "").lower().split(), request.query_params.get("product", "")
    limit = int(request.query_params.get("limit", 10))
    found = [
        {"path": path, "title": text.partition("\n")[0].strip("# "), "text": text[:300], "product": path.split("/")[2]}
        for path, text in hub.docs.items()
        if path.startswith(f"/docs/{product}") and all(word in f"{path} {text}".lower() for word in query)
    ]
    return JSONResponse({"hits": found[:limit]})


async def list_docs(hub: "FakeHub", request: Request) -> Response:
    names = dict.fromkeys(path.split("/")[2] for path in hub.docs)
    return JSONResponse([{"id": name, "title": name, "url": f"/docs/{name}"} for name in names])


async def doc_page(hub: "FakeHub", request: Request) -> Response:
    path = "/docs/" + word(request, "path")
    text = hub.docs.get(path.removesuffix(".md"))
    if text is None:
        links = [f'<a href="{page}">{page}</a>' for page in hub.docs if page.startswith(f"{path}/")]
        if not links:
            raise refusal(404, "Not found")
        return Response(f"<html><nav>{''.join(links)}</nav></html>", media_type="text/html")
    if path.endswith(".md"):
        return PlainTextResponse(text, media_type="text/markdown")
    return Response(f"<html><main>{text}</main></html>", media_type="text/html")


async def router_models(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse({"object": "list", "data": hub.router_models})


async def openapi(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse(hub.openapi)


ROUTES = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/oauth/device", device_code),
    ("POST", "/oauth/token", device_token),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("GET", "/api/papers/search", search_papers),
    ("GET", "/api/daily_papers", daily_papers),
    ("GET", "/api/papers/{id}", paper),
    ("GET", "/papers/{id}", paper_text),
    ("GET", "/api/spaces/semantic-search", search_spaces),
    ("GET", "/api/datasets/{ns}/{name}/leaderboard", leaderboard),
    ("GET", "/api/docs/search", search_docs),
    ("GET", "/api/docs", list_docs),
    ("GET", "/docs/{path:path}", doc_page),
    ("GET", "/v1/models", router_models),
    ("GET", "/.well-known/openapi.json", openapi),
]
