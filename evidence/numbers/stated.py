"""The numbers of an answer that claim a result, each with its metric, unit and what it is said about."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from ml_intern.evidence.numbers.measured import seconds_unit
from ml_intern.evidence.numbers.names import MetricPlace, averaging, metrics_in, plain, roles_in
from ml_intern.text.word_table import words

_NUMBER: Final = re.compile(
    r"(?<![\w.,/@#$€£^:\-])(?P<about>[~≈]\s?)?(?P<sign>[-+\u2212\u00b1])?\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?P<part>\.\d+)?"
    r"(?P<power>[eE][-+]?\d+)?(?P<percent>\s?%|\s(?:percent|"
    r"per cent)\b)?(?![\w@%]*[A-Za-z_@](?<![xX\u00d7])|\.\d|-[A-Za-z]\w*|/\d|:\d)"
)
_BLANKED: Final = re.compile(
    r"https?://\S+|\]\([^)]*\)|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\bv\d[\w.]*|"
    r"\b\d+\.\d+\.\d[\w.]*|(?:[=~!]=\s*|(?<=[\w\]])[<>]=?)\d[\w.]*|"
    r"(?m:^\s*(?:#+\s*\d[\d.]*|[1-9]\d*[.)])\s)|`[^`\n=:]*[A-Za-z_/][^`\n=:]*`|\b[\w/-]+\.(?:csv|json|jsonl|py|txt|md|pkl|pt|npz|npy|yaml|yml)\b"
)
_SOFTWARE: Final = re.compile(
    r"(?i)(?:version|release|python|pytorch|torch|cuda|cudnn|transformers|trl|peft|datasets|accelerate|numpy|pandas|scipy|"
    r"scikit-learn|sklearn|xgboost|lightgbm|ubuntu|debian|apache|section|figure|table|chapter|arxiv|step|stage|phase|seed|"
    r"jax|tensorflow|vllm|node|sqlite|uv|pip|llama|qwen|gemma|mistral|phi|gpt|claude|gemini|deepseek|appendix|license|"
    r"column|row|line|id|class|fold|epoch|layer|top)[\s`*=-]*$"
)
_SETTING: Final = re.compile(r"(?<![\w=])([A-Za-z_]\w*)\s?=\s?$")
_STATISTICS: Final = frozenset("nNprRtFzd")
"""Letters that name a statistic where `=` follows, and not a setting."""
_SIZE: Final = re.compile(
    r"(?i)\s?(?:k|m|b|[kmgt]i?b|bytes?|params?|parameters?|billion|million|usd|dollars?|gpus?|cpus?|cores?|tflops?)\b"
)
_TIME: Final = re.compile(
    r"(?i)\s?(ms|milliseconds|us|\u00b5s|\u03bcs|microseconds|ns|nanoseconds|s|secs?|seconds?|min|minutes?|h|hours?)\b"
)
_FACTOR: Final = re.compile(r"(?i)\s?(?:x|\u00d7|times|-fold)\b(?!\s*\d)")
_CONFIDENCE: Final = re.compile(r"(?i)\s*(?:[\w-]+\s+)?(?:confidence|credible|prediction|CI\b|interval)")
_BOUND: Final = re.compile(
    r"(?i)\b(?:CI|intervals?)\b[^.;\d]{0,15}(?:\d*\.?\d+\s*%?\s*(?:to|and|,|-|\u2013|\.\.)\s*)?$"
)
"""The words before a bound of an interval."""
_POINTS: Final = re.compile(r"(?i)\s?(?:pp\b|(?:percentage )?points?\b)")
_COUNTED: Final = re.compile(r"(?i)\s(?:\w+\s)?([a-z]+)")
COUNTED: Final = words(
    "step epoch example row sample batch iteration run seed shot class label file layer fold test line "
    "feature column point item question image document trial shard token word pair setting model record "
    "patient group tree gpu worker"
)
"""Nouns that a whole number counts."""
_COMPARED: Final = re.compile(
    r"(?i)\b(?:improv\w+|better|gain\w*|above|below|beats?|over|more|less|fewer|worse|higher|lower|difference|drop\w*|reduc\w+|increase\w*|"
    r"decrease\w*|up by|down by|by|ahead|delta)\b"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z*_`(]|$)|\n")
_LONG: Final = re.compile(r"(?s).{1,1000}(?:(?<=\s)|$)|.{1,1000}")
"""The parts of at most 1,000 characters in which a sentence is read, apart at a space where there is one."""
MAX_STATED: Final = 500
_PAIRED: Final = re.compile(r"\s*(?:to|vs\.?|versus|against|→|->|and|or|±|\+/-)\s*[\d.]+\s*%?")
_SHARE_OF_DATA: Final = re.compile(
    r"(?i)\s+of\s+(?:the\s+|all\s+|these\s+|its\s+)?(?:\w+\s+)?(?:rows|examples|samples|records|data|dataset|documents|images|tokens)\b"
)
_EXPECTED: Final = re.compile(r"(?i)\b(?:likely|expected|possible|perhaps|probably|may|might|could|would)\b")
_CODE: Final = re.compile(
    r"(?ms)^[ \t]*(```|~~~)[ \t]*(?:python|py|bash|sh|shell|yaml|toml)[ \t]*$.*?(?:^[ \t]*\1[ \t]*$|\Z)"
)
_CLAUSE_END: Final = re.compile(
    r"[,;.():]|\d|\b(?:and|against|versus|vs|for|than|to|beats?|is|was|exceeds?|while|but|outperforms?|compared|with|over)\b"
)
_NEGATED: Final = re.compile(
    r"(?i)(?:\bnot\b|\bgoal\b|\btarget\b|at least|threshold|\brequired?\b|\bneeded\b|"
    r"\basked\b|instead of|rather than|\bno\b[\w ]{0,20})"
    r"[^.;\d]{0,25}$"
)


@dataclass(frozen=True)
class Stated:
    """A number that an answer states. `digits` are its decimals; `noun` is what a whole number counts."""

    text: str
    value: float
    digits: int
    metric: str = ""
    averaging: str = ""
    roles: frozenset[str] = frozenset()
    unit: str = ""
    """%, points, x, ms, s, min, h, or ""."""
    noun: str = ""
    firm: bool = False
    """It stands beside a metric, so only a measurement can support it."""
    compared: bool = False
    """It may be a difference or a ratio."""
    spread: bool = False
    """It is a standard error, a deviation or half an interval."""
    quoted: bool = False
    """It is the user's goal or a number that the answer denies."""
    sentence: str = ""

    @property
    def tolerance(self) -> float:
        """The largest difference that rounding explains."""
        if self.digits <= 0 and self.value >= 1000 and self.value % 100 == 0:
            return 0.5 * 10.0 ** (len(f"{int(self.value)}") - len(f"{int(self.value)}".rstrip("0")))
        exact = self.digits <= 0 and self.value < 10 and self.unit not in ("%", "points")
        return 1e-12 if exact else 0.5 * 10.0**-self.digits * (1 + 1e-6)


def stated_in(answer: str) -> list[Stated]:
    """Return the numbers of an answer that claim a result or count something, in order."""
    found: list[Stated] = []
    head: list[str] = []
    for line in _blank(answer).splitlines():
        if len(found) > MAX_STATED:
            break
        cells = line.strip().strip("|").split("|") if line.lstrip().startswith("|") else []
        if not cells:
            head = []
            found += islice(_in_prose(line), MAX_STATED)
        elif not head:
            head = cells
        else:
            found += _in_row(cells, head)
    return found


def _blank(text: str) -> str:
    text = re.sub(r"(?m)^[ \t]*(?:```|~~~).*$", "", _CODE.sub("\n", text))
    return _BLANKED.sub(lambda match: re.sub(r"\S", "_" if match[0].startswith("`") else " ", match[0]), text)


def _in_prose(line: str) -> Iterator[Stated]:
    for sentence in _SENTENCE.split(line):
        for part in _LONG.finditer(sentence):
            yield from _in_sentence(part[0])


def _in_row(cells: Sequence[str], head: Sequence[str]) -> Iterator[Stated]:
    """Yield the numbers of a table row. The metric is in the head of the column, or else in the first cell."""
    for place, cell in enumerate(cells):
        column = plain(head[place] if place < len(head) else "")
        row = plain(cells[0]) if place else ""
        metrics = metrics_in(column) or metrics_in(row)
        for index, match in enumerate(_NUMBER.finditer(cell)):
            if metrics and (match["part"] or match["percent"] or place):
                name, spread = metrics[-1].metric, index > 0 and "±" in cell[: match.end()]
                words = f"{row} {column}"
                percent = bool(match["percent"]) or "%" in column
                yield _number(match, cell, words, name, firm=True, spread=spread, percent=percent)
            elif match["part"] or match["percent"]:
                yield _number(match, cell, f"{row} {column}", "", firm=False)


def _in_sentence(sentence: str) -> Iterator[Stated]:
    words = plain(sentence)
    places = metrics_in(words) if len(words) == len(sentence) else _places(sentence)
    for match in _NUMBER.finditer(sentence):
        before, after = sentence[: match.start()], sentence[match.end() :]
        if _SOFTWARE.search(before) or _CONFIDENCE.match(after) or (not match["percent"] and _SIZE.match(after)):
            continue
        if _is_setting(before):
            continue
        yield from _judged(match, sentence, places)


def _is_setting(before: str) -> bool:
    """Whether the number after these words is the value of a setting, as in `C=0.01`."""
    name = _SETTING.search(before)
    return name is not None and name[1] not in _STATISTICS and not metrics_in(plain(f"{name[1]} ="))


def _places(sentence: str) -> list[MetricPlace]:
    return metrics_in(sentence.lower().replace("_", " "))


def _judged(match: re.Match[str], sentence: str, places: list[MetricPlace]) -> Iterator[Stated]:
    """Yield the number if it claims a result, counts something or stands in a comparison."""
    before, after = sentence[: match.start()], sentence[match.end() :]
    noun = _noun(after) or ("row" if re.search(r"\bn\s*=\s*$", before) else "")
    metric, beside = ("", False) if _BOUND.search(before) else _metric_of(match, sentence, places)
    spread = bool(re.search(r"(?:±|\+/-|\+-)\s*$", before)) or match["sign"] == "±" or metric in ("se", "sd")
    factor, points = bool(_FACTOR.match(after)), bool(_POINTS.match(after))
    compared = factor or points or bool(_COMPARED.search(f"{before[-40:]} {after[:25]}"))
    whole = not match["part"] and not match["percent"] and not match["power"]
    if noun and whole and not points:
        yield _number(match, sentence, _near(match, sentence), "", firm=False, noun=noun)
    elif whole and (factor or points):
        yield _number(match, sentence, _near(match, sentence), metric, firm=True, compared=True)
    elif not (whole and not beside) and not _is_other(match, sentence, metric):
        firm = bool(metric) and beside
        yield _number(match, sentence, _near(match, sentence), metric, firm=firm, compared=compared, spread=spread)


def _is_other(match: re.Match[str], sentence: str, metric: str) -> bool:
    """Whether a number is a time, a share of the data or an expectation, and not the result of a metric."""
    after = sentence[match.end() :]
    if metric:
        return metric != "latency" and bool(_TIME.match(after)) and not match["percent"]
    return bool(_SHARE_OF_DATA.match(after) or (_FACTOR.match(after) and _EXPECTED.search(sentence)))


def _noun(after: str) -> str:
    """Return the counted noun after a whole number, such as epoch, in the singular."""
    words = re.match(r"[\s*_`]+(?:([A-Za-z-]+)[\s*_`]+)?([A-Za-z]+)?", after)
    if not words:
        return ""
    for word in (words[1], words[2]):
        if word:
            single = re.sub(r"(?:ches|sses)$", lambda one: one[0][:-2], word.lower())
            single = single.removesuffix("s") if single not in ("class",) else single
            if single in COUNTED:
                return single
    return ""


def _metric_of(match: re.Match[str], sentence: str, places: list[MetricPlace]) -> tuple[str, bool]:
    """Return the metric of a number, and whether it is near enough to claim that metric's value."""
    before = [place for place in places if place.end <= match.start() and sentence[place.start] != "±"]
    free = _without_number(before, match, sentence)
    pair = _PAIRED.match(sentence, match.end())
    start = pair.end() if pair else match.end()
    after = [place for place in places if start <= place.start <= start + 25 and place.metric not in ("se", "sd", "p")]
    follows = after and not re.search(r"[,;.]|\b(?:and|with)\b|\d", sentence[start : after[0].start])
    if follows and (free is None or re.search(r"[,;:(]", sentence[free.end : match.start()])):
        return after[0].metric, True
    chosen = free or (before[-1] if before else None)
    if chosen is None:
        return "", False
    between = sentence[chosen.end : match.start()]
    return chosen.metric, len(between) < 70 and not re.search(r"[.;]\s", between)


def _without_number(before: Sequence[MetricPlace], match: re.Match[str], sentence: str) -> MetricPlace | None:
    """Return the nearest metric that no number follows yet."""
    ends = [*(place.start for place in before[1:]), match.start()][: len(before)]
    pairs = zip(before, ends, strict=True)
    free = [place for place, end in pairs if not re.search(r"\d", sentence[place.end : end])]
    return free[-1] if free else None


def _near(match: re.Match[str], sentence: str) -> str:
    """Return the words that say whose number it is: back to the number before it or the start of its clause."""
    text = sentence[: match.start()]
    numbers = [one.end() for one in re.finditer(r"(?<![A-Za-z])\d", text)]
    marks = (text.rfind(mark) for mark in (";", ",", "(", " but ", " and ", " while "))
    before = text[max([0, *marks, *numbers[-1:]]) :]
    following = _CLAUSE_END.split(sentence[match.end() :])[0]
    return plain(f"{before} {following}")


def _number(match: re.Match[str], sentence: str, words: str, metric: str, **more: Any) -> Stated:
    """Return the number of a match. `words` say whose it is; `more` are further fields, or percent."""
    after = sentence[match.end() :]
    power = int(match["power"][1:]) if match["power"] else 0
    percent = more.pop("percent", False) or bool(match["percent"])
    return Stated(
        text=match[0].strip(" ~≈±+"),
        value=float(f"{(match['whole'] or '0').replace(',', '')}{match['part'] or ''}{match['power'] or ''}"),
        digits=len(match["part"] or ".") - 1 - power,
        metric=metric,
        averaging=averaging(words),
        roles=roles_in(words),
        unit="%" if percent else _unit(after, counts=bool(more.get("noun"))),
        quoted=bool(_NEGATED.search(sentence[: match.start()])),
        sentence=sentence.strip(),
        **more,
    )


def _unit(after: str, *, counts: bool) -> str:
    """Return x, points or the unit of time after a number, or ""."""
    if _FACTOR.match(after) or _POINTS.match(after):
        return "x" if _FACTOR.match(after) else "points"
    time = _TIME.match(after)
    word = time[1] if time and not counts else ""
    return seconds_unit(word.rstrip("s") if len(word) > 2 else word)
