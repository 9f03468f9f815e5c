"""Check the numbers of the cards and reports that the agent wrote in this thread."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.numbers import Numbers, number_claims
from ml_intern.evidence.observations import Observations, content_of
from ml_intern.evidence.verdict import Claim

_CARDS: Final = frozenset({".md", ".markdown", ".rst"})
_MAX_CARDS: Final = 5
_MAX_BYTES: Final = 200_000
_MAX_UPLOADED: Final = 1_000_000


def card_claims(numbers: Numbers) -> Iterator[Claim]:
    """Yield the claims of cards that are not supported. Cards as they are now, the last written ones."""
    own = [path for path, name in numbers.seen.written.items() if not name and Path(path).suffix.lower() in _CARDS]
    for path in map(Path, own[-_MAX_CARDS:]):
        if path.is_file() and path.stat().st_size <= _MAX_BYTES:
            text = _body(path.read_text(encoding="utf-8", errors="replace"))
            claims = number_claims(text, numbers, numbers.seen.short(path))
            yield from (one for one in claims if one.state in ("contradicted", "unsupported"))


async def uploaded_card_claims(text: str, seen: Observations, files: Sequence[Path] = ()) -> list[Claim]:
    """Return the claims of a card that the evidence does not support.

    `files` are uploaded with it. Their numbers count, unless the agent wrote the file.
    """

    def check() -> list[Claim]:
        reports = [(seen.short(path), content_of(path, _MAX_UPLOADED)) for path in files if not _is_typed(path, seen)]
        numbers = Numbers(replace(seen, reports=(*seen.reports, *reports)))
        return [one for one in number_claims(_body(text), numbers) if one.state in ("contradicted", "unsupported")]

    return await asyncio.to_thread(check)


def _is_typed(path: Path, seen: Observations) -> bool:
    return seen.written.get(str(path.resolve())) == ""


def _body(text: str) -> str:
    """Return a card without its YAML head."""
    parts = text.split("\n---", 1) if text.startswith("---") else []
    return parts[1] if len(parts) > 1 else text
