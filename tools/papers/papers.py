"""The papers tool: finds papers, reads them by section, and lists their citations and linked repositories."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.service import NotFound
from ml_intern.tools.papers import hub as paper_hub
from ml_intern.tools.papers.full_text import full_text, parse_arxiv_id, strip_version
from ml_intern.tools.papers.hub import number_entries
from ml_intern.tools.papers.scholar import citations_unknown, open_scholar
from ml_intern.tools.web.page_text import PageText
from ml_intern.tools.web.sections import outline, parse_sections, render_page

Operation = Literal[
    "search", "trending", "details", "linked", "read", "citations", "references", "snippets", "recommend"
]
_BY_QUERY = ("search", "snippets")
_BY_PAPER = ("details", "linked", "read", "citations", "references", "recommend")
_OPENING = 1_500


class PapersArgs(ToolArgs):
    """The arguments of papers."""

    operation: Operation = Field(
        description="search and snippets use query, trending uses date, the others use paper; read also uses section."
    )
    query: str = Field("", max_length=300, description="The search terms. snippets finds passages of full texts.")
    paper: str = Field("", max_length=200, description="An arXiv id, or an arXiv or Hub address.")
    section: str = Field("", max_length=200, description='read: a heading or number, such as "4.1" or "Experiments".')
    date: str = Field(
        "",
        pattern=r"^(\d{4}-\d{2}-\d{2}|\d{4}-W\d{2}|\d{4}-\d{2})?$",
        description="trending: a day (2025-10-29), week (2025-W44) or month (2025-10); empty for now.",
    )
    limit: int = Field(10, ge=1, le=50, description="The maximum number of entries.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation in _BY_QUERY and not self.query.strip():
            raise ValueError(f"{self.operation} needs a query")
        if self.operation in _BY_PAPER and not self.paper.strip():
            raise ValueError(f"{self.operation} needs a paper")
        return self


@tool(read_only=True)
async def papers(args: PapersArgs, context: ToolContext) -> ToolResult:
    """Find and read research papers: search, trending, details, full text by section, citations and references.

    Find the paper that reports the result you need, then read its method and experiments sections for the recipe: data,
    model, optimiser, learning rate, batch size, steps, hardware. read without a section returns the beginning and the
    list of sections; read the ones you need. details and linked list its code, models, datasets and Spaces; citations
    lists later papers that cite it, references the papers it cites; snippets finds passages in full texts (of one paper
    if given); recommend finds similar papers. Citations, snippets and recommendations are limited to one request per
    second.
    """
    paper = parse_arxiv_id(args.paper) if args.paper.strip() else ""
    match args.operation:
        case "search":
            return await _search(args, context)
        case "trending":
            return _list(await paper_hub.trending(args.date, args.limit), f"{hub_url()}/papers")
        case "details":
            return await _details(paper, context)
        case "linked":
            return untrusted_result(
                await paper_hub.linked(strip_version(paper), args.limit), f"{hub_url()}/papers/{strip_version(paper)}"
            )
        case "read":
            return await _read(paper, args.section, context)
        case _:
            return await _from_scholar(args, paper, context)


async def _search(args: PapersArgs, context: ToolContext) -> ToolResult:
    """Search the Hub; if it finds nothing or fails, search Semantic Scholar."""
    try:
        if found := await paper_hub.search(args.query, args.limit):
            return _list(found, f"{hub_url()}/papers")
        why = ""
    except ToolError as error:
        why = f"{error}; "
    try:
        async with open_scholar(context.options.hosts) as scholar:
            found = await scholar.search(args.query, args.limit)
    except ToolError as error:
        raise ToolError(f"{why or 'nothing found on the Hub; '}{error}") from error
    return _list(found, base_url(context.options.hosts, "semantic_scholar"))


async def _details(paper: str, context: ToolContext) -> ToolResult:
    plain = strip_version(paper)
    try:
        parts = [await paper_hub.details(plain), f"## On the Hub\n{await paper_hub.linked(plain)}"]
    except NotFound:
        parts = [f"arXiv:{plain} is not on the Hub; use read for its text"]
    try:
        async with open_scholar(context.options.hosts) as scholar:
            parts.append(await scholar.counts(paper))
    except ToolError as error:
        parts.append(citations_unknown(error))
    return untrusted_result("\n\n".join(parts), f"{hub_url()}/papers/{plain}")


async def _read(paper: str, section: str, context: ToolContext) -> ToolResult:
    found = await full_text(paper, context.options.hosts, context.options.private_hosts)
    if section:
        return await render_untrusted(
            lambda: render_page(PageText("", found.text), f"arXiv:{paper}", section), found.url
        )
    return await render_untrusted(lambda: _opening(found.text), found.url)


def _opening(text: str) -> str:
    """Return the beginning of a paper and its outline, or all of it when it has no sections."""
    sections = parse_sections(text)
    if not sections:
        return text
    listed = f"Sections, with their lengths in characters; read one with section:\n{outline(sections)}"
    return f"{text[:_OPENING].rstrip()} ...\n\n{listed}"


async def _from_scholar(args: PapersArgs, paper: str, context: ToolContext) -> ToolResult:
    async with open_scholar(context.options.hosts) as scholar:
        match args.operation:
            case "citations":
                found = await scholar.list_citations(paper, args.limit)
            case "references":
                found = await scholar.list_references(paper, args.limit)
            case "snippets":
                found = await scholar.snippets(args.query, paper, args.limit)
            case _:
                found = await scholar.recommend(paper, args.limit)
    return _list(found, base_url(context.options.hosts, "semantic_scholar"))


def _list(entries: list[str], source: str) -> ToolResult:
    return (
        untrusted_result(number_entries(entries), source)
        if entries
        else ToolResult("nothing found; use fewer or different words")
    )
