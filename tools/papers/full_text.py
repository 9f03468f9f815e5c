"""The full text of a paper as markdown: as the Hub has it, else arXiv's HTML, else its PDF."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.net.pages import fetch
from ml_intern.net.service import NotFound
from ml_intern.tools.web.page_text import text_of
from ml_intern.tools.web.sections import head_and_text

_NEW = re.compile(r"(?<![\d.])(\d{4}\.\d{4,5}(?:v\d+)?)(?![\d])")
_OLD = re.compile(r"\b([a-z-]+(?:\.[A-Z]{2})?/\d{7}(?:v\d+)?)\b")
_MAX_PDF_BYTES = 50_000_000


@dataclass(frozen=True)
class PaperText:
    """A paper's text and where it is from."""

    text: str
    url: str


def arxiv_id(text: str) -> str:
    """The arXiv id in an id, or in an address of arXiv or the Hub. Raises ToolError when there is none."""
    found = _NEW.search(text) or _OLD.search(text)
    if not found:
        raise ToolError(f"{text[:100]!r} is no arXiv id; it looks like 2106.09685. papers search finds it by words")
    return found[1]


def versionless(paper: str) -> str:
    """An arXiv id without its version, as everybody but arXiv names papers."""
    return re.sub(r"v\d+$", "", paper)


async def full_text(paper: str, hosts: Mapping[str, str], private_hosts: Sequence[str]) -> PaperText:
    """The text of the paper with this arXiv id, from the first place that has it.

    Raises:
        ToolError: no place has it; it says what each said.
    """
    said = list[str]()
    plain = versionless(paper)
    try:
        return PaperText(
            await call_hub(lambda api: api.read_paper(plain), f"paper {plain}"), f"{hub_url()}/papers/{plain}"
        )
    except ToolError as fault:
        said.append(f"the Hub: {fault}")
    base = base_url(hosts, "arxiv")
    allowed = [*private_hosts, urlsplit(base).netloc]
    for kind, max_bytes in (("html", 20_000_000), ("pdf", _MAX_PDF_BYTES)):
        try:
            found = await text_of(page := await fetch(f"{base}/{kind}/{paper}", allowed, max_bytes=max_bytes))
            return PaperText(head_and_text(found), page.url)
        except NotFound:
            said.append(f"arXiv has no {kind} of it")
        except ToolError as fault:
            said.append(f"arXiv's {kind}: {fault}")
    raise ToolError(f"the text of {paper} is nowhere to be had. {'; '.join(said)}")
