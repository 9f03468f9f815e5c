"""Papers on the Hub: search, trending papers, and the models, datasets, Spaces and code of a paper."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ml_intern.configs.hosts import hub_url
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import listed, plural

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_SUMMARY = 400
_LINKED = 6


async def search(query: str, limit: int) -> list[str]:
    """Search papers on the Hub."""
    found = await call_hub(lambda api: list(islice(api.list_papers(query=query, limit=limit), limit)), "papers")
    return [paper_line(paper) for paper in found]


async def trending(date: str, limit: int) -> list[str]:
    """List the papers trending now, or those of a day (2025-10-29), a week (2025-W44) or a month (2025-10)."""
    when: dict[str, Any] = {_span(date): date} if date else {"sort": "trending"}
    found = await call_hub(lambda api: list(islice(api.list_daily_papers(limit=limit, **when), limit)), "daily papers")
    return [paper_line(paper) for paper in found]


def _span(date: str) -> str:
    return "week" if "W" in date else "date" if date.count("-") == 2 else "month"


def paper_line(paper: Any) -> str:
    """Format a paper as a list entry."""
    code = f"; code {paper.github_repo}" if getattr(paper, "github_repo", None) else ""
    votes = f"; {plural(paper.upvotes, 'upvote')}" if paper.upvotes else ""
    year = f"; {paper.published_at:%Y-%m-%d}" if paper.published_at else ""
    summary = " ".join((getattr(paper, "ai_summary", None) or paper.summary or "").split())[:_SUMMARY]
    return f"{paper.title or '(no title)'} (arXiv:{paper.id}{year}{votes}{code})\n  {summary}"


async def details(paper: str) -> str:
    """Return the Hub's details of a paper. Raises NotFound when it is not on the Hub."""
    found = await call_hub(lambda api: api.paper_info(paper), f"paper {paper}")
    authors = listed([author.name or "?" for author in found.authors or []], 8)
    lines = [
        f"# {found.title or '(no title)'}",
        f"arXiv:{found.id}" + (f", {found.published_at:%Y-%m-%d}" if found.published_at else ""),
        f"authors: {authors}" if authors else "",
        f"code: {found.github_repo} ({_stars(found.github_stars)})" if found.github_repo else "",
        f"project: {found.project_page}" if found.project_page else "",
        f"page: {hub_url()}/papers/{found.id}",
        f"keywords: {', '.join(found.ai_keywords)}" if found.ai_keywords else "",
        f"\n## Abstract\n{found.summary or '(none)'}",
    ]
    return "\n".join(filter(None, lines))


async def linked(paper: str, limit: int = _LINKED) -> str:
    """List the repositories that cite a paper, the most downloaded first."""
    tag = f"arxiv:{paper}"

    def collect(api: "HfApi") -> dict[str, list[str]]:
        return {
            "models": _first(api.list_models(filter=tag, sort="downloads", limit=limit), limit),
            "datasets": _first(api.list_datasets(filter=tag, sort="downloads", limit=limit), limit),
            "spaces": _first(api.list_spaces(filter=tag, sort="likes", limit=limit), limit),
            "collections": [
                f"{one.slug} ({one.title})"
                for one in islice(api.list_collections(item=f"papers/{paper}", limit=limit), limit)
            ],
        }

    found = await call_hub(collect, f"repositories linked to {paper}")
    return "\n".join(f"{kind}: {', '.join(names) or 'none'}" for kind, names in found.items())


def _first(repositories: Iterable[Any], limit: int) -> list[str]:
    return [_repository(one) for one in islice(repositories, limit)]


def _repository(one: Any) -> str:
    downloads = getattr(one, "downloads", None)
    used = plural(one.likes or 0, "like") if downloads is None else plural(downloads, "download")
    return f"{one.id} ({used})"


def _stars(number: int | None) -> str:
    return "stars unknown" if number is None else plural(number, "star")


def number_entries(entries: Sequence[str]) -> str:
    """Number the entries of a list."""
    return "\n\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, start=1))
