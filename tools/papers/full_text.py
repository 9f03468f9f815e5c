"""The full text of a paper as markdown: from the Hub, or else from arXiv's HTML or PDF."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.net.pages import fetch
from ml_intern.net.service import NotFound
from ml_intern.tools.web.page_text import extract_text
from ml_intern.tools.web.sections import with_title

_NEW = re.compile(r"(?<![\d.])(\d{4}\.\d{4,5}(?:v\d+)?)(?![\d])")
_OLD = re.compile(r"\b([a-z-]+(?:\.[A-Z]{2})?/\d{7}(?:v\d+)?)\b")
_MAX_PDF_BYTES = 50_000_000


@dataclass(frozen=True)
class PaperText:
    """A paper's text and its source."""

    text: str
    url: str


def parse_arxiv_id(text: str) -> str:
    """Find the arXiv id in an id or an arXiv or Hub address. Raises ToolError when there is none."""
    found = _NEW.search(text) or _OLD.search(text)
    if not found:
        raise ToolError(f"{text[:100]!r} is not an arXiv id such as 2106.09685; find it with papers, operation search")
    return found[1]


def strip_version(paper: str) -> str:
    """Return an arXiv id without its version; only arXiv itself uses versions."""
    return re.sub(r"v\d+$", "", paper)


async def full_text(paper: str, hosts: Mapping[str, str], private_hosts: Sequence[str]) -> PaperText:
    """Return the text of the paper with this arXiv id from the first source that has it.

    Raises:
        ToolError: no source has it; the message lists each source's error.
    """
    reasons = list[str]()
    plain = strip_version(paper)
    try:
        return PaperText(
            await call_hub(lambda api: api.read_paper(plain), f"paper {plain}"), f"{hub_url()}/papers/{plain}"
        )
    except ToolError as error:
        reasons.append(f"the Hub: {error}")
    base = base_url(hosts, "arxiv")
    allowed = [*private_hosts, urlsplit(base).netloc]
    for kind, max_bytes in (("html", 20_000_000), ("pdf", _MAX_PDF_BYTES)):
        try:
            found = await extract_text(page := await fetch(f"{base}/{kind}/{paper}", allowed, max_bytes=max_bytes))
            return PaperText(with_title(found), page.url)
        except NotFound:
            reasons.append(f"arXiv has no {kind} of it")
        except ToolError as error:
            reasons.append(f"arXiv's {kind}: {error}")
    raise ToolError(f"no source has the text of {paper}. {'; '.join(reasons)}")
