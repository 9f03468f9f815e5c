"""The section "Evidence" of a model card: the claims of the card with their states, and the digests of the weights."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.files import WEIGHTS
from ml_intern.evidence.checks.numbers import Numbers, number_claims
from ml_intern.evidence.observations import Observations
from ml_intern.text.digests import content_digest
from ml_intern.text.formatting import table_cell

_BEGIN: Final = "<!-- evidence by ml-intern -->"
_END: Final = "<!-- end of evidence -->"
_SECTION: Final = re.compile(rf"\n*{re.escape(_BEGIN)}.*?{re.escape(_END)}\n?", re.DOTALL)
_MAX_FILES: Final = 20
_WORDS: Final = {"held": "supported", "reproduced": "reproduced", "unsupported": "not supported"}


def without_section(text: str) -> str:
    """Return a card without its section of evidence."""
    return _SECTION.sub("\n", text)


def evidence_section(body: str, files: Iterable[tuple[str, Path]], seen: Observations) -> str:
    """Return the section for a card with this body, or "" if there is nothing to say. It blocks.

    `files` are the uploaded files: their names in the repository and their paths.
    """
    claims = [
        f"| {table_cell(one.text)} | {_WORDS.get(one.state, one.state)} | {table_cell(one.evidence)} |"
        for one in number_claims(without_section(body), Numbers(seen))
    ]
    digests = list(_digests(files))
    if not claims and not digests:
        return ""
    about = "ml-intern compared this card with what ran in its thread when it was uploaded. The section is not signed."
    lines = [_BEGIN, "## Evidence", "", about, ""]
    lines += ["| claim | state | evidence |", "| --- | --- | --- |", *claims, ""] if claims else []
    lines += ["| file | sha256 |", "| --- | --- |", *digests, ""] if digests else []
    return "\n".join([*lines, _END, ""])


def _digests(files: Iterable[tuple[str, Path]]) -> Iterator[str]:
    weights = [(name, path) for name, path in files if path.suffix in WEIGHTS]
    for name, path in weights[:_MAX_FILES]:
        yield f"| {table_cell(name)} | `{content_digest(path)}` |"
