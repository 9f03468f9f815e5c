"""docs_search and docs_read: the Hub's search, the local index when it fails, pages, sections and the HTTP API."""

import pytest

from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN
from tests.tools.web.conftest import Reader

SFT = """# SFT Trainer

Supervised fine-tuning with trl.

## Quick start

```python
# not a heading
SFTTrainer(model="Qwen/Qwen3-0.6B", train_dataset=dataset)
```

## Expected dataset type[[expected]]

A column `messages`, or `prompt` and `completion`.

### Packing

Short examples are put together.
"""
OPENAPI = {
    "openapi": "3.1.0",
    "components": {
        "schemas": {
            "Repo": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": "Its name"},
                    "private": {"type": "boolean"},
                    "parent": {"$ref": "#/components/schemas/Repo"},
                },
            }
        }
    },
    "paths": {
        "/api/repos/create": {
            "post": {
                "summary": "Create a repository",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Repo"}}}},
                "responses": {"200": {"description": "It is there"}},
            }
        },
        "/api/models": {
            "get": {
                "summary": "List models",
                "parameters": [{"name": "search", "in": "query", "schema": {"type": "string"}}],
                "responses": {},
            }
        },
    },
}


@pytest.fixture
def docs(hub: FakeHub) -> FakeHub:
    hub.docs |= {
        "/docs/trl/sft_trainer": SFT,
        "/docs/trl/dpo_trainer": "# DPO Trainer\n\nLearns from preference pairs.",
        "/docs/peft/lora": "# LoRA\n\nRank and alpha of adapters.",
    }
    hub.openapi = OPENAPI
    return hub


async def test_the_hubs_search_is_used(reader: Reader, docs: FakeHub) -> None:
    result = await reader.run("docs_search", query="preference")
    assert f"{docs.url}/docs/trl/dpo_trainer" in result.text
    assert result.taint == (f"{docs.url}/docs",)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_the_local_index_is_used_when_the_search_fails(reader: Reader, docs: FakeHub, status: int) -> None:
    docs.fail("/api/docs/search", status)
    result = await reader.run("docs_search", query="preferences learning", product="trl")
    assert "DPO Trainer" in result.text
    assert "results are from a local index" in result.text
    assert "peft" not in result.text
    assert any("2 of 2 pages read" in log["text"] for log in reader.bench.sent("tool_log"))


async def test_the_local_index_is_used_when_the_search_finds_nothing(reader: Reader, docs: FakeHub) -> None:
    assert "SFT Trainer" in (await reader.run("docs_search", query="supervision", product="trl")).text


async def test_a_redirect_of_the_search_to_another_server_is_not_followed(reader: Reader, docs: FakeHub) -> None:
    docs.redirect("/api/docs/search", docs.cdn_url)
    result = await reader.run("docs_search", query="adapters", product="peft")
    assert "another server" in result.text
    assert "LoRA" in result.text
    assert not any(asked.host.startswith("localhost") for asked in docs.asked)


async def test_an_unknown_product_is_reported(reader: Reader, docs: FakeHub) -> None:
    result = await reader.run("docs_search", query="anything", product="nope")
    assert "no documentation for 'nope'" in result.text


@pytest.mark.parametrize(
    "page", ["trl/sft_trainer", "/docs/trl/sft_trainer", "https://huggingface.co/docs/trl/sft_trainer"]
)
async def test_a_page_is_read_by_any_of_its_names(reader: Reader, docs: FakeHub, page: str) -> None:
    result = await reader.run("docs_read", page=page)
    assert "# SFT Trainer" in result.text
    assert result.taint == (f"{docs.url}/docs/trl/sft_trainer",)


@pytest.mark.parametrize("section", ["Expected dataset type", "#expected", "dataset type", "expectd dataset typ"])
async def test_a_section_includes_only_its_subsections(reader: Reader, docs: FakeHub, section: str) -> None:
    text = (await reader.run("docs_read", page="trl/sft_trainer", section=section)).text
    assert "`messages`" in text
    assert "put together" in text
    assert "Quick start" not in text


async def test_the_anchor_of_an_address_names_the_section(reader: Reader, docs: FakeHub) -> None:
    text = (await reader.run("docs_read", page=f"{docs.url}/docs/trl/sft_trainer#packing")).text
    assert "put together" in text
    assert "messages" not in text


async def test_a_missing_page_is_answered_with_similar_pages(reader: Reader, docs: FakeHub) -> None:
    assert "trl/sft_trainer" in (await reader.run("docs_read", page="trl/sft_trainr")).text
    assert "no product 'nope'" in (await reader.run("docs_read", page="nope/page")).text
    assert "read it with web_read" in (await reader.run("docs_read", page="https://example.org/docs/x")).text
    assert "is not the name of a page" in (await reader.run("docs_read", page="../../api/whoami")).text


async def test_products_and_their_pages_are_listed(reader: Reader, docs: FakeHub) -> None:
    assert "peft" in (await reader.run("docs_read")).text
    assert "trl has 2 pages:\ntrl/sft_trainer" in (await reader.run("docs_read", page="trl")).text


async def test_a_page_is_cached_on_disk(reader: Reader, docs: FakeHub) -> None:
    await reader.run("docs_read", page="peft/lora")
    docs.asked.clear()
    await reader.run("docs_read", page="peft/lora")
    assert docs.asked == []


async def test_operations_of_the_http_api_are_found_and_read(reader: Reader, docs: FakeHub) -> None:
    assert "POST /api/repos/create" in (await reader.run("docs_search", query="create repo", product="http-api")).text
    text = (await reader.run("docs_read", page="POST /api/repos/create")).text
    assert "- name (string, required): Its name" in text
    assert "- private (boolean)" in text
    assert "GET /api/models" in (await reader.run("docs_read", page="GET /api/model")).text


async def test_no_token_is_sent(reader: Reader, docs: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    await reader.run("docs_search", query="preference")
    await reader.run("docs_read", page="trl/dpo_trainer")
    assert docs.asked
    assert {asked.token for asked in docs.asked} == {None}


async def test_unreachable_documentation_is_reported_in_one_line(
    reader: Reader, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    for name, args in (("docs_read", {"page": "trl/x"}), ("docs_search", {"query": "abc", "product": "trl"})):
        result = await reader.run(name, **args)
        assert "no connection to the Hub's documentation" in result.text
        assert "\n" not in result.text
