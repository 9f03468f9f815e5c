"""Extract the text of a page or PDF from stdin, in a child process because its input may be hostile.

Usage: `python -I page_text_child.py KIND URL`, where KIND is html or pdf. Writes one JSON object: title, text, note.
"""

import io
import json
import logging
import os
import resource
import sys
from itertools import islice

MEMORY_BYTES = 3 * 1024**3
CPU_SECONDS = 40
MAX_PAGES = 150
MAX_CHARACTERS = 3_000_000


def from_html(body: bytes, url: str) -> dict[str, str]:
    """Return the main text of a page as markdown, or all its text when no main text is found."""
    import trafilatura

    tree = trafilatura.load_html(body)
    if tree is None:
        return {"title": "", "text": "", "note": ""}
    known = trafilatura.extract_metadata(tree, default_url=url)
    title = str((known.title if known else "") or "")
    text = trafilatura.extract(
        tree, url=url, output_format="markdown", include_links=True, include_comments=False, favor_recall=True
    )
    if text and text.strip():
        return {"title": title, "text": text, "note": ""}
    whole = trafilatura.html2txt(body).strip()
    return {"title": title, "text": whole, "note": "no main text found; this is the whole page" if whole else ""}


def from_pdf(body: bytes) -> dict[str, str]:
    """Return the text of a PDF, page by page."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = PdfReader(io.BytesIO(body))
    if reader.is_encrypted and not reader.decrypt(""):
        return {"title": "", "text": "", "note": "the PDF is encrypted"}
    texts = [page.extract_text() for page in islice(reader.pages, MAX_PAGES)]
    if not any(text.strip() for text in texts):
        return {"title": "", "text": "", "note": "the pages are images"}
    pages = [f"## Page {number}\n\n{text}" for number, text in enumerate(texts, start=1)]
    total = len(reader.pages)
    note = f"the first {MAX_PAGES} pages of {total}" if total > MAX_PAGES else ""
    title = str((reader.metadata.title if reader.metadata else "") or "")
    return {"title": title, "text": "\n\n".join(pages), "note": note}


def main() -> None:
    """Read stdin and write the JSON object."""
    os.nice(5)  # the agent and its commands have priority
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    kind, url = sys.argv[1:3]
    body = sys.stdin.buffer.read()
    found = from_pdf(body) if kind == "pdf" else from_html(body, url)
    found["text"] = found["text"][:MAX_CHARACTERS]
    # ASCII with escapes: a lone surrogate in a page must not break the output.
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
