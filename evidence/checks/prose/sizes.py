"""Check the sizes that an answer states for files: "model.pt (12.3 MB)"."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ml_intern.evidence.observations import Observations
from ml_intern.evidence.verdict import Claim

_NAME: Final = r"(?<![\w@:/.-])(?P<name>(?:\.{0,2}/)?(?:[\w.-]+/)*(?:[\w-][\w.-]*\.[A-Za-z]\w{0,11}|[\w.-]+/))"
_AMOUNT: Final = r"(?P<amount>\d[\d,]*(?:\.(?P<decimals>\d+))?)\s?(?P<unit>bytes?|B|[kKMGT]i?B)\b"
_ABOUT: Final = r"(?P<about>(?:about|around|approximately|approx\.|roughly|circa|some|~|≈)\s*)?"
_QUOTE: Final = r"[`'\"*]*"
_LINK: Final = r"(?:\(|,|:|[|\u2013\u2014-]|is\b|has\b|takes(?: up)?\b|weighs\b)"
_SIZES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NAME}{_QUOTE}\s*{_LINK}\s*(?:a size of |only |just )*{_ABOUT}{_AMOUNT}",
        rf"{_ABOUT}{_AMOUNT}(?: large| big)? (?:file |model |checkpoint )?{_QUOTE}{_NAME}",
    )
)
_OTHER: Final = re.compile(
    r"(?i)\A\s*(?:/|per\b|of\b|in (?:RAM|memory)|RAM|V?RAM|memory|GPU|heap|peak|smaller|larger|bigger|less|more|"
    r"before|originally|earlier|uncompressed|compressed|zipped|limit)"
)
"""The text after a size that is not that of the file as it is."""
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n")
_EARLIER: Final = re.compile(r"(?i)\b(?:was|were|from|before|down|originally|instead|not|should|would|will|if)\b")
_POWERS: Final = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_BLOCK: Final = 4096
_ROUGHLY: Final = 0.1
_MAX_FILES: Final = 10_000


def size_claims(answer: str, seen: Observations) -> Iterator[Claim]:
    """Yield a claim for each size that a sentence of the answer states beside the name of a file or a folder."""
    for sentence in _SENTENCE.split(answer):
        if _EARLIER.search(sentence):
            continue
        for match in (found for pattern in _SIZES for found in pattern.finditer(sentence)):
            path = seen.find(match["name"])
            if path is None or _OTHER.match(sentence[match.end("unit") :]):
                continue
            if (size := _size(path)) is not None:
                yield _claim(match, size, sentence)


def _claim(match: re.Match[str], size: int, sentence: str) -> Claim:
    text = f"{match['name']}: {sentence.strip()[:100]}"
    if _agrees(match, size):
        return Claim(text, "held", f"{match['name']} has {size:,} bytes", "file")
    return Claim(
        text, "contradicted", f"{match['name']} has {size:,} bytes, not {match['amount']} {match['unit']}", "file"
    )


def _size(path: Path) -> int | None:
    """Return the bytes of a file, or of the files in a folder, None if these are too many or cannot be read."""
    try:
        if path.is_file():
            return path.stat().st_size
        total = 0
        for number, one in enumerate(path.rglob("*")):
            if number >= _MAX_FILES:
                return None
            total += one.stat().st_size if one.is_file() else 0
    except OSError:
        return None
    return total


def _agrees(match: re.Match[str], size: int) -> bool:
    """Whether the size rounds to the stated one, in powers of 1,000 or 1,024, exactly or in whole blocks of the disk.

    Programs round up or down, so one in the last digit is allowed; "about" allows a tenth of the size.
    """
    stated, power = float(match["amount"].replace(",", "")), _POWERS[match["unit"][0].lower()]
    digit = 10.0 ** -len(match["decimals"] or "") if power else 0.0
    slack = max(digit, _ROUGHLY * stated if match["about"] else 0.0)
    blocks = -(-size // _BLOCK) * _BLOCK
    return any(abs(stated - one / base**power) <= slack for one in (size, blocks) for base in (1000, 1024))
