"""The papers tool: from a question to the paper with the result, its method section, and who built on it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.service import NotFound
from ml_intern.tools.papers import hub as paper_hub
from ml_intern.tools.papers.full_text import arxiv_id, full_text, versionless
from ml_intern.tools.papers.hub import numbered
from ml_intern.tools.papers.scholar import no_answer, open_scholar
from ml_intern.tools.web.page_text import PageText
from ml_intern.tools.web.sections import outline, sections_of, shown

Operation = Literal[
    "search", "trending", "details", "linked", "read", "citations", "references", "snippets", "recommend"
]
_BY_QUERY = ("search", "snippets")
_BY_PAPER = ("details", "linked", "read", "citations", "references", "recommend")
_OPENING = 1_500


class PapersArgs(ToolArgs):
    """What papers takes."""

    operation: Operation = Field(
        description="search and snippets take query, trending date, the others paper; read takes section too."
    )
    query: str = Field("", max_length=300, description="What to look for. snippets finds passages of full texts.")
    paper: str = Field("", max_length=200, description="An arXiv id, or an address of arXiv or the Hub.")
    section: str = Field("", max_length=200, description='read: a heading or number, such as "4.1" or "Experiments".')
    date: str = Field(
        "",
        pattern=r"^(\d{4}-\d{2}-\d{2}|\d{4}-W\d{2}|\d{4}-\d{2})?$",
        description="trending: a day (2025-10-29), week (2025-W44) or month (2025-10); empty is now.",
    )
    limit: int = Field(10, ge=1, le=50, description="How many entries of a list at most.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation in _BY_QUERY and not self.query.strip():
            raise ValueError(f"{self.operation} needs a query")
        if self.operation in _BY_PAPER and not self.paper.strip():
            raise ValueError(f"{self.operation} needs a paper")
        return self


@tool(read_only=True)
async def papers(args: PapersArgs, context: ToolContext) -> ToolResult:
    """Find and read research papers: search, trending, details, full text by section, citations both ways.

    Find the paper that reports the result you need, then read its method and experiments sections for the recipe: data,
    model, optimiser, learning rate, batch size, steps, hardware. read without a section gives the beginning and the
    list of sections; read the ones you need. details and linked name its code, models, datasets and Spaces; citations
    says who used it since, references what it rests on; snippets finds passages in full texts (in one paper when you
    name it); recommend finds similar ones. Citations, snippets and recommendations take one request a second.
    """
    paper = arxiv_id(args.paper) if args.paper.strip() else ""
    match args.operation:
        case "search":
            return await _search(args, context)
        case "trending":
            return _list(await paper_hub.trending(args.date, args.limit), f"{hub_url()}/papers")
        case "details":
            return await _details(paper, context)
        case "linked":
            return untrusted_result(
                await paper_hub.linked(versionless(paper), args.limit), f"{hub_url()}/papers/{versionless(paper)}"
            )
        case "read":
            return await _read(paper, args.section, context)
        case _:
            return await _from_scholar(args, paper, context)


async def _search(args: PapersArgs, context: ToolContext) -> ToolResult:
    """At the Hub; where that knows nothing or is away, at Semantic Scholar."""
    try:
        if found := await paper_hub.search(args.query, args.limit):
            return _list(found, f"{hub_url()}/papers")
        why = ""
    except ToolError as fault:
        why = f"{fault}; "
    try:
        async with open_scholar(context.options.hosts) as scholar:
            found = await scholar.search(args.query, args.limit)
    except ToolError as fault:
        raise ToolError(f"{why or 'the Hub knows none; '}{fault}") from fault
    return _list(found, base_url(context.options.hosts, "semantic_scholar"))


async def _details(paper: str, context: ToolContext) -> ToolResult:
    plain = versionless(paper)
    try:
        parts = [await paper_hub.details(plain), f"## On the Hub\n{await paper_hub.linked(plain)}"]
    except NotFound:
        parts = [f"arXiv:{plain} is not on the Hub; read shows its text"]
    try:
        async with open_scholar(context.options.hosts) as scholar:
            parts.append(await scholar.counts(paper))
    except ToolError as fault:
        parts.append(no_answer(fault))
    return untrusted_result("\n\n".join(parts), f"{hub_url()}/papers/{plain}")


async def _read(paper: str, section: str, context: ToolContext) -> ToolResult:
    found = await full_text(paper, context.options.hosts, context.options.private_hosts)
    if section:
        return await render_untrusted(lambda: shown(PageText("", found.text), f"arXiv:{paper}", section), found.url)
    return await render_untrusted(lambda: _opening(found.text), found.url)


def _opening(text: str) -> str:
    """How a paper begins, and its sections; all of it where it has none."""
    sections = sections_of(text)
    if not sections:
        return text
    listed = f"Its sections, with their length; read them with section:\n{outline(sections)}"
    return f"{text[:_OPENING].rstrip()} ...\n\n{listed}"


async def _from_scholar(args: PapersArgs, paper: str, context: ToolContext) -> ToolResult:
    async with open_scholar(context.options.hosts) as scholar:
        match args.operation:
            case "citations":
                found = await scholar.citing(paper, args.limit)
            case "references":
                found = await scholar.cited_by(paper, args.limit)
            case "snippets":
                found = await scholar.snippets(args.query, paper, args.limit)
            case _:
                found = await scholar.recommended(paper, args.limit)
    return _list(found, base_url(context.options.hosts, "semantic_scholar"))


def _list(entries: list[str], source: str) -> ToolResult:
    return (
        untrusted_result(numbered(entries), source)
        if entries
        else ToolResult("nothing found; use fewer or other words")
    )
