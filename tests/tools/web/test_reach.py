"""Every operation of the reading tools works within the size limit and sends each key to its own service only."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from ml_intern.tools.github.github import GithubArgs
from ml_intern.tools.papers.papers import Operation
from tests.fakes.github import TOKEN as GITHUB_TOKEN
from tests.fakes.github import GitHub
from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN as HF_TOKEN
from tests.fakes.scholar import KEY as SCHOLAR_KEY
from tests.fakes.scholar import Arxiv, Scholar
from tests.fakes.search_engines import SearchEngines
from tests.fakes.website import Website
from tests.tools.web.conftest import Reader

PAPER, REPOSITORY = "2106.09685", "huggingface/trl"
LONG = "# Long\n\n" + "\n\n".join(f"## {n} Part\n\n" + "many words of a page " * 200 for n in range(30))
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("docs_search", {"query": "words"}),
    ("docs_search", {"query": "words page", "product": "trl"}),
    ("docs_search", {"query": "create", "product": "http-api"}),
    ("docs_read", {}),
    ("docs_read", {"page": "trl"}),
    ("docs_read", {"page": "trl/long"}),
    ("docs_read", {"page": "POST /api/repos/create"}),
    ("papers", {"operation": "search", "query": "LoRA"}),
    ("papers", {"operation": "trending"}),
    ("papers", {"operation": "details", "paper": PAPER}),
    ("papers", {"operation": "linked", "paper": PAPER}),
    ("papers", {"operation": "read", "paper": PAPER}),
    ("papers", {"operation": "citations", "paper": PAPER}),
    ("papers", {"operation": "references", "paper": PAPER}),
    ("papers", {"operation": "snippets", "query": "alpha"}),
    ("papers", {"operation": "recommend", "paper": PAPER}),
    ("github", {"operation": "search_code", "query": "import"}),
    ("github", {"operation": "examples", "repository": REPOSITORY}),
    ("github", {"operation": "read", "repository": REPOSITORY, "path": "examples/train.py"}),
    ("github", {"operation": "repositories", "owner": "huggingface"}),
    ("web_search", {"query": "lora"}),
    ("web_read", {"url": "SITE/long"}),
]


@dataclass
class World:
    """Every fake, and a site that nobody's key may reach."""

    hub: FakeHub
    github: GitHub
    scholar: Scholar
    arxiv: Arxiv
    engines: SearchEngines
    site: Website
    elsewhere: Website


@pytest.fixture
def world(reader: Reader, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with ExitStack() as stack:
        github, scholar = stack.enter_context(GitHub()), stack.enter_context(Scholar())
        arxiv, engines = stack.enter_context(Arxiv()), stack.enter_context(SearchEngines())
        elsewhere = stack.enter_context(Website())
        site = stack.enter_context(Website(elsewhere.url + "/article"))
        hub.docs["/docs/trl/long"] = LONG
        paths = {"/api/repos/create": {"post": {"summary": "Create a repository", "responses": {}}}}
        hub.openapi = {"paths": paths}
        hub.papers[PAPER] = {"id": PAPER, "title": "LoRA", "summary": "", "markdown": LONG, "daily": True}
        github.files[REPOSITORY] = {"examples/train.py": b"import torch\n" * 5_000}
        keys = {
            "HF_TOKEN": HF_TOKEN,
            "GITHUB_TOKEN": GITHUB_TOKEN,
            "S2_API_KEY": SCHOLAR_KEY,
            "BRAVE_API_KEY": engines.key,
        }
        for name, value in {**keys, "GITHUB_API_URL": github.url}.items():
            monkeypatch.setenv(name, value)
        reader.hosts(semantic_scholar=scholar.url, arxiv=arxiv.url, brave_search=engines.url)
        reader.allow(site.host)
        yield World(hub, github, scholar, arxiv, engines, site, elsewhere)


async def test_every_operation_stays_within_its_size_and_each_key_goes_to_its_service(
    reader: Reader, world: World, record_property: Callable[[str, object], None]
) -> None:
    for name, args in CALLS:
        given = {key: value.replace("SITE", world.site.url) if key == "url" else value for key, value in args.items()}
        result = await reader.run(name, **given)
        assert result.ok, (name, args, result.text)
        assert len(result.text) <= 20_000, (name, args)
        assert result.taint, (name, args)
        assert result.text.startswith("[outside text from "), (name, args)
    assert {args["operation"] for name, args in CALLS if name == "papers"} == set(get_args(Operation))
    operations = get_args(GithubArgs.model_fields["operation"].annotation)
    assert {args["operation"] for name, args in CALLS if name == "github"} == set(operations)
    assert world.github.secrets == {f"token {GITHUB_TOKEN}"}
    assert world.scholar.secrets == {SCHOLAR_KEY}
    assert world.engines.secrets == {world.engines.key}
    assert world.arxiv.secrets | world.site.secrets == set()
    assert {asked.token for asked in world.hub.asked} <= {None, HF_TOKEN}
    record_property("reached", f"{len(CALLS)} calls of {len({name for name, _ in CALLS})} reading tools")


async def test_no_operation_blocks_the_event_loop(reader: Reader, world: World) -> None:
    blockbuster = pytest.importorskip(
        "blockbuster", reason="needs the extra [studio]: uv sync --extra studio"
    )  # part of LangGraph's server, which runs every tool under it
    for name, args in CALLS:
        given = {key: value.replace("SITE", world.site.url) if key == "url" else value for key, value in args.items()}
        guard = blockbuster.BlockBuster()
        guard.activate()
        try:
            result = await reader.run(name, **given)
        finally:
            guard.deactivate()
        assert result.ok, (name, args, result.text)


async def test_no_key_follows_a_redirect_to_another_host(
    reader: Reader, world: World, record_property: Callable[[str, object], None]
) -> None:
    away = world.elsewhere.url + "/data.json"
    world.github.elsewhere = world.scholar.elsewhere = world.engines.elsewhere = away
    world.hub.redirect("/", away)
    for name, args in CALLS:
        given = {key: value.replace("SITE/long", f"{world.site.url}/away") for key, value in args.items()}
        await reader.run(name, **given)
    assert world.elsewhere.secrets == set()
    record_property("reached", f"{len(world.elsewhere.seen)} of {len(CALLS)} redirects followed, none with a key")
