"""The web_read tool: reads a public web page, or a section of it, as markdown."""

from pydantic import Field

from ml_intern.execution.call import ToolResult
from ml_intern.execution.provenance import render_untrusted
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.pages import fetch
from ml_intern.tools.web.page_text import extract_text
from ml_intern.tools.web.sections import render_page


class WebReadArgs(ToolArgs):
    """The arguments of web_read."""

    url: str = Field(min_length=1, max_length=2_000, description="The http or https address of the page.")
    section: str = Field("", max_length=200, description="A heading or #anchor: only that section of the page.")


@tool(read_only=True)
async def web_read(args: WebReadArgs, context: ToolContext) -> ToolResult:
    """Read a public web page as markdown: HTML, plain text, JSON or PDF.

    Only the address is sent: no token, no login. Private addresses are refused. A long page begins with a list of its
    sections; pass the section you need. For Hugging Face documentation prefer docs_read, for repositories github, and
    for papers papers.
    """
    page = await fetch(args.url, context.options.private_hosts)
    found = await extract_text(page)
    return await render_untrusted(lambda: render_page(found, page.url, args.section), page.url)
