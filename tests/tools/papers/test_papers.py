"""papers: search, reading by section, citations, and clear errors."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN
from tests.fakes.scholar import KEY, Arxiv, Scholar
from tests.tools.web.conftest import Reader

MARKDOWN = """# LoRA: Low-Rank Adaptation

Abstract of it.

## 1 Introduction

Why.

## 4 Experiments

### 4.1 Baselines

Full fine-tuning.

### 4.2 Hyperparameters

We use AdamW with a learning rate of 2e-4, rank 8 and alpha 16.
"""


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[Scholar, Arxiv]]:
    with Scholar() as scholar, Arxiv() as arxiv:
        yield scholar, arxiv


@pytest.fixture
def scholar(reader: Reader, services: tuple[Scholar, Arxiv]) -> Scholar:
    scholar, arxiv = services
    scholar.busy = False
    scholar.seen.clear()
    reader.hosts(semantic_scholar=scholar.url, arxiv=arxiv.url)
    return scholar


@pytest.fixture
def papers_hub(hub: FakeHub) -> FakeHub:
    hub.papers["2106.09685"] = {
        "id": "2106.09685",
        "title": "LoRA: Low-Rank Adaptation",
        "summary": "Trains low rank matrices.",
        "authors": [{"name": "E. Hu", "hidden": False}],
        "publishedAt": "2021-06-17T00:00:00.000Z",
        "upvotes": 61,
        "githubRepo": "https://github.com/microsoft/LoRA",
        "markdown": MARKDOWN,
        "daily": True,
    }
    return hub


async def test_papers_are_found_on_the_hub(reader: Reader, papers_hub: FakeHub) -> None:
    text = (await reader.run("papers", operation="search", query="low rank")).text
    assert "1. LoRA: Low-Rank Adaptation (arXiv:2106.09685" in text


@pytest.mark.parametrize("fault", [None, 404, 503])
async def test_semantic_scholar_is_used_when_the_hub_finds_nothing(
    reader: Reader, hub: FakeHub, scholar: Scholar, fault: int | None
) -> None:
    if fault:
        hub.fail("/api/papers", fault)
    assert "QLoRA (arXiv:2305.14314" in (await reader.run("papers", operation="search", query="four bits")).text


@pytest.mark.parametrize("date", ["", "2025-10-29", "2025-W44", "2025-10"])
async def test_trending_papers_are_listed_for_now_or_a_date(reader: Reader, papers_hub: FakeHub, date: str) -> None:
    text = (await reader.run("papers", operation="trending", date=date)).text
    assert "61 upvotes" in text
    assert ("date=" in papers_hub.asked[-1].query) == (date.count("-") == 2)


async def test_details_include_code_models_and_citations(reader: Reader, papers_hub: FakeHub, scholar: Scholar) -> None:
    papers_hub.add("models", "ada/lora-model", {"README.md": "---\ntags: ['arxiv:2106.09685']\n---\n"})
    text = (await reader.run("papers", operation="details", paper="https://arxiv.org/abs/2106.09685v2")).text
    for part in ("github.com/microsoft/LoRA", "ada/lora-model", "cited 7 times (3 influential)", "Low rank."):
        assert part in text


async def test_details_are_returned_even_without_citations(reader: Reader, papers_hub: FakeHub) -> None:
    result = await reader.run("papers", operation="details", paper="2106.09685")
    assert result.ok
    assert "citations unknown: no connection to Semantic Scholar" in result.text


async def test_a_paper_is_read_by_section(reader: Reader, papers_hub: FakeHub) -> None:
    whole = await reader.run("papers", operation="read", paper="2106.09685")
    assert "- 4 Experiments (" in whole.text
    assert whole.taint == (f"{papers_hub.url}/papers/2106.09685",)
    for section in ("4.2", "Hyperparameters", "hyper-parameters"):
        text = (await reader.run("papers", operation="read", paper="2106.09685", section=section)).text
        assert "rank 8 and alpha 16" in text
        assert "Full fine-tuning" not in text
    experiments = (await reader.run("papers", operation="read", paper="2106.09685", section="4")).text
    assert "Full fine-tuning" in experiments
    assert "alpha 16" in experiments


async def test_a_paper_without_text_on_the_hub_is_read_from_arxiv(
    reader: Reader, hub: FakeHub, scholar: Scholar
) -> None:
    html = await reader.run("papers", operation="read", paper="2401.00001", section="Method")
    assert "500 steps of warmup" in html.text
    assert html.taint[0].endswith("/html/2401.00001")


async def test_a_paper_without_html_is_read_from_its_pdf(reader: Reader, hub: FakeHub, scholar: Scholar) -> None:
    found = await reader.run("papers", operation="read", paper="2401.00002")
    assert "The learning rate is 1e-4" in found.text
    assert found.taint[0].endswith("/pdf/2401.00002")


async def test_a_paper_without_any_source_is_reported_with_every_reason(
    reader: Reader, hub: FakeHub, scholar: Scholar
) -> None:
    found = await reader.run("papers", operation="read", paper="2401.00003")
    assert not found.ok
    assert "arXiv has no html of it; arXiv has no pdf of it" in found.text


async def test_citations_and_references_list_influential_papers_first(reader: Reader, scholar: Scholar) -> None:
    later = (await reader.run("papers", operation="citations", paper="2106.09685")).text
    assert later.index("QLoRA") < later.index("A survey")
    assert '"we build on low rank"' in later
    assert "LoRA" in (await reader.run("papers", operation="references", paper="2305.14314")).text


async def test_snippets_and_recommendations_are_found(reader: Reader, scholar: Scholar) -> None:
    text = (await reader.run("papers", operation="snippets", query="alpha", paper="2106.09685")).text
    assert "Setup:\n  We set alpha to 16." in text
    assert "LoRA (arXiv id not given; search the title for it)" in text
    assert "235458009" not in text
    assert "paperIds=ARXIV%3A2106.09685" in scholar.seen[-1].query
    assert "QLoRA" in (await reader.run("papers", operation="recommend", paper="2106.09685")).text


async def test_a_rate_limit_is_reported_at_once_with_the_remedy(reader: Reader, scholar: Scholar) -> None:
    scholar.busy = True
    text = (await reader.run("papers", operation="citations", paper="2106.09685")).text
    for part in ("429", "in 40 s", "one request per second", "S2_API_KEY"):
        assert part in text
    assert len(scholar.seen) == 1


async def test_requests_beyond_a_long_queue_are_refused_instead_of_delayed(reader: Reader, scholar: Scholar) -> None:
    asked = [reader.run("papers", operation="citations", paper="2106.09685", limit=n) for n in range(1, 9)]
    done = await asyncio.gather(*asked)
    assert any(result.ok for result in done)
    refused = [result.text for result in done if not result.ok]
    assert refused
    assert all("too many requests to Semantic Scholar" in text for text in refused)


async def test_the_key_goes_only_to_semantic_scholar_and_the_token_only_to_the_hub(
    reader: Reader, hub: FakeHub, scholar: Scholar, services: tuple[Scholar, Arxiv], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    await reader.run("papers", operation="details", paper="2106.09685")
    await reader.run("papers", operation="read", paper="2401.00002")
    assert scholar.secrets == {KEY}
    assert services[1].secrets == set()
    assert not any("x-api-key" in asked.headers for asked in hub.asked)


async def test_a_wrong_key_and_an_unknown_paper_are_reported(
    reader: Reader, scholar: Scholar, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = await reader.run("papers", operation="citations", paper="9999.99999")
    assert "does not know this paper" in unknown.text
    monkeypatch.setenv("S2_API_KEY", "wrong")
    assert "access denied" in (await reader.run("papers", operation="citations", paper="2106.09685")).text


@pytest.mark.parametrize(
    "args",
    [{"operation": "read"}, {"operation": "search"}, {"operation": "read", "paper": "no id"}, {"operation": "x"}],
)
async def test_missing_or_invalid_arguments_are_reported(reader: Reader, args: dict[str, str]) -> None:
    result = await reader.run("papers", **args)
    assert not result.ok
    assert "internal" not in result.text
