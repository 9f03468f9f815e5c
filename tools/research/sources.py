"""The sources that a claim cites, whether they were opened, and whether they contain its numbers. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ml_intern.evidence.numbers.contained import ContainedNumbers, WrittenNumber
from ml_intern.execution.tool import SourceRead
from ml_intern.tools.research.sentences import FOOTNOTE, GROUP

_CITED: Final = re.compile(
    r"\[[^\[\]\n]*\]\((?P<link>[^()\s]+)\)|\[(?P<group>[^\[\]]{1,400})\]|(?P<bare>https?://[^\s)\]>]*[^\s)\]>.,;:!?])"
)
_NUMBERS: Final = re.compile(r"\^?\d{1,3}(?:\s*(?:[,;]|[-\u2013])\s*\^?\d{1,3})*")
_DEFINED: Final = re.compile(r"\s*(?:[-*]\s*)?(?:\[\^?(\d{1,3})\]|(\d{1,3})[.):])[:.]*\s*(\S.*)")
_LIST: Final = re.compile(r"(?mi)^\W*(?:sources?|references)\W*$")
_OWN: Final = re.compile(r"(?:my |own )?(?:inference|conclusion|estimate)s?", re.IGNORECASE)
_ARXIV: Final = re.compile(r"\d{4}\.\d{4,5}")
_ADDRESS: Final = re.compile(r"/|\w\.[a-zA-Z]\w*|\d{4}\.\d{4,5}")
_RECORDS: Final = ("hub_search", "papers", "datasets")
"""Tools whose lists are records of what they name: a listed item counts as opened."""
_ITEM_OPERATIONS: Final = ("read", "inspect", "rows", "sql")
_SITES: Final = re.compile(
    r"^(?:huggingface\.co|hf\.co|github\.com|raw\.githubusercontent\.com)/(?:datasets/|spaces/|models/|papers/)?"
)
_REVISION: Final = re.compile(r"/(?:blob|tree|resolve|raw)/[^/]+")
_PATH: Final = re.compile(r"/[\w./-]+\.txt\b")
_SCALES: Final = {
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "million": 1e6,
    "b": 1e9,
    "billion": 1e9,
    "t": 1e12,
    "trillion": 1e12,
}
_WORDS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_POWER: Final = re.compile(r"(?:\s*(?:[x*\u00d7\u00b7]|\\times)\s*)10\s*\^?\s*\{?\s*([-\u2212+]?\s*\d+)\}?")
_SUPERSCRIPT: Final = str.maketrans("\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789")
_NUMBER: Final = re.compile(
    r"(?<![A-Za-z\d_.,#])(?<![A-Za-z]-)(?P<value>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<power>[eE][-+]?\d+)?(?P<percent>\s?%|\s(?:percent|per cent)\b)?"
    r"(?:\s?(?P<scale>[kKMBT]|thousand|million|billion|trillion)\b)?(?!\w*\.\d)"
)
_LABELLED: Final = re.compile(
    r"\b(?:section|sections|sec|figure|fig|figs|table|tab|equation|eq|chapter|appendix|step|stage|lines?|pages?|"
    r"pp?|ref|version|algorithm|no)\b\.?\s*$",
    re.IGNORECASE,
)
_DATED: Final = re.compile(r"(?:\b(?:in|since|from|until|before|after|of|early|mid|late|[A-Z][a-z]+)|[,(])\s*-?$")
_EXACT: Final = 12
_EDGES: Final = "`<>\"'"


@dataclass(frozen=True)
class Citation:
    """A source as cited, and what it stands for: an address, a name, or "" for a number without an entry."""

    shown: str
    target: str

    @property
    def is_own(self) -> bool:
        """Whether the author marks the claim as a conclusion."""
        return bool(_OWN.fullmatch(self.target))


def source_list(report: str) -> dict[str, str]:
    """Return the numbered sources that a report lists under "Sources" or "References", or as footnotes."""
    headings = list(_LIST.finditer(report))
    listed = report[headings[-1].end() :] if headings else "\n".join(filter(FOOTNOTE.fullmatch, report.splitlines()))
    lines = (_DEFINED.match(line) for line in listed.splitlines())
    return {found[1] or found[2]: found[3] for found in lines if found}


def citations(text: str, listed: dict[str, str]) -> list[Citation]:
    """Return the sources that a text cites. Brackets within a sentence count if they look like a source."""
    found = list[Citation]()
    for match in _CITED.finditer(re.sub(r"`[^`\n\[\]]*\[[^`\n]*`", "", text)):
        group = match["group"]
        if group is None:
            found.append(Citation(match["link"] or match["bare"], match["link"] or match["bare"]))
        elif _NUMBERS.fullmatch(group.strip()):
            found += _numbered(group, listed)
        elif len(group) > 2 and (
            _ADDRESS.search(group) or not re.search(r"\w", re.sub(GROUP, "", text[match.end() :]))
        ):
            found += _named(group)
    return list(dict.fromkeys(found))


def _numbered(group: str, listed: dict[str, str]) -> Iterator[Citation]:
    """Yield the entries of [1, 2] or [1-3]. Without a list, or from 0 on, numbers in brackets are not citations."""
    parts = [re.findall(r"\d+", part) for part in re.split(r"[,;]", group)]
    for part in parts if listed and ["0"] not in parts else ():
        for number in range(int(part[0]), int(part[-1]) + 1):
            yield Citation(f"[{number}]", listed.get(str(number), ""))


def _named(group: str) -> Iterator[Citation]:
    parts = re.split(r"[;,]\s+|\s+and\s+", group.strip())
    addresses = [part for part in parts if _ADDRESS.search(part) and not re.fullmatch(r"\D*[\d.]+", part)]
    for part in addresses or [part for part in parts if _ARXIV.search(part)] or [group.strip()]:
        yield Citation(part, part)


class Readings:
    """The sources that a sub-agent opened."""

    def __init__(self, readings: Sequence[SourceRead]) -> None:
        self._readings = [(_names(one), one) for one in readings]

    def of(self, citation: Citation) -> list[SourceRead]:
        """Return the calls that opened a source."""
        keys = _keys(citation.target)
        return [one for names, one in self._readings if any(_is_named(key, names) for key in keys)]

    def continued(self, opened: Sequence[SourceRead]) -> list[str | None]:
        """Return the texts of some readings, with what was read of the saved full text of a shortened one."""
        texts = [one.text for one in opened]
        paths = {path for text in texts if text for path in _PATH.findall(text)}
        return [*texts, *(one.text for _, one in self._readings if any(path in one.args for path in paths))]


def _names(reading: SourceRead) -> str:
    """Return the text that names what a call opened: its arguments, the address of its result, or its list."""
    text = reading.text or ""
    listed = reading.tool in _RECORDS and not any(f'"{name}"' in reading.args for name in _ITEM_OPERATIONS)
    heading = text.partition("\n")[0] if text.startswith("[") else ""
    return f"{reading.args}\n{text if listed else heading}".lower()


def _keys(target: str) -> list[str]:
    """Return the spellings under which a source may have been opened."""
    if arxiv := _ARXIV.search(target):
        return [arxiv[0]]
    found = re.search(r"https?://[^\s)\]>]+", target) or re.search(r"\S.*", target)
    if found is None:
        return []
    key = re.sub(r"^https?://(?:www\.)?", "", found[0].lower().strip(_EDGES)).split("#")[0].rstrip("/.,;")
    key = re.sub(r":\d+(?:-\d+)?$", "", key)
    path = _REVISION.sub("/", _SITES.sub("", key)).replace("//", "/")
    parts = path.split("/")
    file = ["/".join(parts[2:])] if path != key and len(parts) > 2 and not path.startswith("docs/") else []
    page = [re.sub(r"^docs/([^/]+)/(?:main/|v[\d.]+/)?(?:en/)?", r"\1/", path)] if path.startswith("docs/") else []
    return [one for one in (key, path, *file, *page) if len(one) > 2]


def _is_named(key: str, names: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-]|\.\w)", names) or f"{key}.md" in names)


def unsupported(text: str, sources: Sequence[str], known: str) -> list[str]:
    """Return the numbers of a claim that stand neither in its sources nor in `known`. Years and labels do not count."""
    stated = list(_stated(_without_citations(text)))
    if not stated:
        return []
    texts = [_plain(one) for one in (*sources, known)]
    contained = ContainedNumbers(texts, [value for one in texts for value in _more(one)])
    return [written for written, options in stated if not any(contained.has(one) for one in options)]


def numbers_in(text: str) -> list[str]:
    """Return the numbers of a claim, as written."""
    return [written for written, _ in _stated(_without_citations(text))]


def _without_citations(text: str) -> str:
    return re.sub(r"https?://\S+", " ", re.sub(GROUP, " ", text))


def _plain(text: str) -> str:
    """Write powers of ten as in 2e-4."""
    text = re.sub(
        r"(?<=10)[\u207b\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+",
        lambda found: f"^{found[0].translate(_SUPERSCRIPT)}",
        text,
    )
    return _POWER.sub(lambda found: "e" + found[1].replace("\u2212", "-").replace(" ", ""), text)


def _stated(text: str) -> Iterator[tuple[str, list[WrittenNumber]]]:
    """Yield every number as written, with the values it may have: 10k is 10 or 10,000."""
    plain = _plain(text)
    for found in _NUMBER.finditer(plain):
        value, is_whole = float(found["value"].replace(",", "") + (found["power"] or "")), "." not in found["value"]
        is_year = is_whole and 1950 <= value < 2040 and _DATED.search(plain[: found.start()])
        if is_year or _LABELLED.search(plain[: found.start()]):
            continue
        digits = _digits(found)
        values = [value, value * _SCALES[found["scale"].lower()]] if found["scale"] else [value]
        yield found[0].strip(), [WrittenNumber(one, digits, bool(found["percent"])) for one in values]


def _digits(found: re.Match[str]) -> int:
    """Return the decimals that rounding may explain; a number of one significant digit, or scaled, is exact."""
    decimals = found["value"].partition(".")[2]
    significant = found["value"].replace(".", "").replace(",", "").lstrip("0")
    is_rounded = len(significant) > 1 and not found["power"] and not found["scale"] and (decimals or found["percent"])
    return len(decimals) if is_rounded else _EXACT


def _more(text: str) -> Iterator[float]:
    """Yield the scaled and spelled numbers of a source."""
    for _, options in _stated(text):
        yield from (one.value for one in options[1:])
    lowered = text.lower()
    yield from (float(value) for value, word in enumerate(_WORDS) if re.search(rf"\b{word}\b", lowered))
