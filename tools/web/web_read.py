"""The web_read tool: a page of the public web, or a section of it, as markdown."""

from pydantic import Field

from ml_intern.execution.call import ToolResult
from ml_intern.execution.provenance import render_untrusted
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.pages import fetch
from ml_intern.tools.web.page_text import text_of
from ml_intern.tools.web.sections import shown


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
    return await render_untrusted(lambda: shown(found, page.url, args.section), page.url)
