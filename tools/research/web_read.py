"""The web_read tool: a page of the public web, or a section of it, as markdown."""

from pydantic import Field

from tools.base import ToolArgs, ToolContext, ToolResult, tool
from tools.net.pages import fetch
from tools.provenance import outside
from tools.research.page_text import PageText, text_of
from tools.research.sections import find_section, outline, sections_of

LONG = 15_000
"""Characters above which the sections of a page are listed before its text."""


class WebReadArgs(ToolArgs):
    """What web_read takes."""

    url: str = Field(min_length=1, max_length=2_000, description="The http or https address of the page.")
    section: str = Field("", max_length=200, description="A heading or #anchor: only that section of the page.")


@tool(read_only=True)
async def web_read(args: WebReadArgs, context: ToolContext) -> ToolResult:
    """Read a page of the public web as markdown: HTML, plain text, JSON or PDF.

    Nothing is sent along but the address: no token, no login. Private addresses are refused. For a long page name the
    section you need; its sections are listed first. For Hugging Face documentation docs_read is better, for
    repositories github, for papers papers.
    """
    page = await fetch(args.url, context.options.private_hosts)
    found = await text_of(page)
    return outside(shown(found, args.section, page.url), page.url)


def shown(found: PageText, section: str, where: str) -> str:
    """A page's text, or one section of it; above a long text stands what it consists of."""
    sections = sections_of(found.text)
    if section:
        return find_section(sections, section, where).text
    head = [f"# {found.title}"] if found.title and found.title not in found.text[:500] else []
    notes = [f"({found.note})"] if found.note else []
    listed = [f"Its sections, with their length:\n{outline(sections)}"] if len(found.text) > LONG and sections else []
    return "\n\n".join([*head, *notes, *listed, found.text])
