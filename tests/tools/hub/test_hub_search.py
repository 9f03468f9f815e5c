"""hub_search: results of every kind, best first, and the message when nothing is found."""

from typing import Any

from tests.fakes.hub import FakeHub
from tests.tools.hub.conftest import HubBench


async def search(desk: HubBench, kind: str, **args: Any) -> str:
    return (await desk.run("hub_search", kind=kind, **args)).text


async def test_models_datasets_and_spaces_are_listed_with_details(hub: FakeHub, desk: HubBench) -> None:
    card = "---\nlicense: mit\npipeline_tag: text-classification\nlibrary_name: transformers\n---\n"
    hub.add("models", "org/small", {"README.md": card}, downloads=12_345, likes=7, gated="auto")
    hub.add("models", "org/other", {"README.md": "---\nlicense: other\n---\n"}, downloads=5)
    hub.add("models", "ada/mine", {}, private=True)
    hub.add("datasets", "org/small-data", {})
    hub.add("spaces", "org/demo-of-small", {}, sdk="gradio")
    found = await search(desk, "models", query="small")
    assert "org/small · text-classification · 12.3k downloads in 30 days · 7 likes · gated (auto)" in found
    assert "license:mit" in found
    assert "org/other" not in found
    assert "org/other" in await search(desk, "models", filters=["license:other"])
    assert "ada/mine · 0 downloads in 30 days · 0 likes · private" in await search(desk, "models", author="ada")
    assert "org/small-data" in await search(desk, "datasets", query="small")
    for args in ({"query": "demo"}, {"query": "demo", "author": "org"}):
        assert "org/demo-of-small · gradio" in await search(desk, "spaces", **args)
    assert await search(desk, "models", query="nothing-of-that") == "no models found; use fewer words or filters"


async def test_collections_and_served_models_are_found(hub: FakeHub, desk: HubBench) -> None:
    item = {"_id": "1", "id": "org/small", "type": "model", "position": 0}
    hub.collections.append(
        {
            "slug": "org/best-1",
            "title": "The best small ones",
            "owner": {"name": "org"},
            "items": [item],
            "lastUpdated": "2026-01-02T00:00:00.000Z",
            "private": False,
            "theme": "green",
            "upvotes": 3,
        }
    )
    live = {"provider": "fast", "status": "live", "context_length": 32_000, "pricing": {"input": 0.5, "output": 2}}
    hub.router_models = [{"id": "org/served", "providers": [live, {"provider": "old", "status": "error"}]}]
    assert "org/best-1 · The best small ones · 3 upvotes\n  model org/small" in await search(
        desk, "collections", item="models/org/small"
    )
    assert "no collections found" in await search(desk, "collections", item="models/org/none")
    assert "org/served · window 32k tokens · fast (0.5 in, 2 out)" in await search(desk, "served_models", query="serv")
    assert hub.asked[-1].token is None


async def test_the_limit_is_applied_and_reported(hub: FakeHub, desk: HubBench) -> None:
    for number in range(120):
        hub.add("models", f"org/m{number}", {}, downloads=number)
    found = await search(desk, "models", sort="downloads", limit=3)
    assert [line.partition(" ")[0] for line in found.splitlines()[1:-2]] == ["org/m119", "org/m118", "org/m117"]
    assert "[only the first 3; there may be more]" in found
    assert (await search(desk, "models", limit=100)).count("\norg/m") == 100
