"""Find the numbers in an answer or a card that claim a result, and check them against reported numbers. Pure."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

_METRIC: Final = re.compile(
    r"(?i)(?<![a-z])(?:accurac(?:y|ies)|acc|f1|loss(?:es)?|perplexit(?:y|ies)|ppl|precision|recall|auc|auroc|bleu|"
    r"rouge\S*|wer|cer|mae|r?mse|r2|r²|map|ndcg\S*|mrr|exact match|em|rewards?|scores?|kappa|mcc|win rate|pass@\d+|"
    r"error(?: rate)?|baseline|correlation|spearman|pearson|iou|dice|fid|bpb|nll|top-\d)(?![a-z])"
)
_NUMBER: Final = re.compile(
    r"(?<![\w.,/@#$€£^:\-])(?:[-+\u2212±~≈]\s?)?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<part>\.\d+)?(?P<power>[eE][-+]?\d+)?"
    r"(?P<percent>\s?%|\s(?:percent|per cent|pp|percentage points?)\b)?(?![\w@]|\.\d|-\w|/\d|:\d)"
)
_BLOCK: Final = re.compile(r"(?ms)^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)")
_NO_PROSE: Final = re.compile(
    r"https?://\S+|\]\([^)]*\)|`[^`\n]*[A-Za-z_/][^`\n]*`|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\bv\d[\w.]*|"
    r"[=<>~!]=\s*\d[\w.]*|(?m:^\s*(?:#+\s*\d[\d.]*|[1-9]\d*(?:\.\d+)*[.)])\s)"
)
_MEASURE: Final = re.compile(
    r"(?i)\s?(?:x|\u00d7|k|m|b|s|ms|sec|secs|seconds?|min|mins|minutes?|h|hrs?|hours?|days?|[kmgt]i?b|bytes?|tokens?|params?|"
    r"parameters?|billion|million|thousand|usd|dollars?|gpus?|cpus?|cores?|tflops?)(?![a-z])"
)
_COUNTED: Final = re.compile(
    r"(?i)\s(?:\w+\s)?(?:steps?|epochs?|examples?|rows?|samples?|batch(?:es)?|iterations?|runs?|seeds?|shots?|class(?:es)?|"
    r"labels?|files?|layers?|folds?|tests?|lines?|features?|columns?|points?|items?|questions?|images?|documents?|trials?)\b"
)
_SOFTWARE: Final = re.compile(
    r"(?i)(?:version|release|python|py|torch|pytorch|cuda|cudnn|rocm|transformers|trl|peft|datasets|accelerate|numpy|pandas|"
    r"scikit-learn|sklearn|sqlite|ubuntu|debian|uv|pip|node|jax|tensorflow|vllm|llama|qwen|gemma|mistral|phi|gpt|claude|"
    r"gemini|deepseek|license|apache|section|figure|table|chapter|appendix|arxiv|step|stage|phase)[\s-]*$"
)
_LINK: Final = re.compile(
    r"(?i)[\s:=*_~≈|`(]*(?:(?:of|is|was|were|at|to|reached|reaches|about|around|by|from|than)[\s*_`~≈]+){0,3}"
)
_CHARACTERS_BACK: Final = 60
_CHARACTERS_ON: Final = 25
_ROUNDED_TO_WHOLE: Final = 10
_MAX_UNVERIFIED: Final = 20
_MAX_COMBINED: Final = 30


@dataclass(frozen=True)
class StatedNumber:
    """A number that claims a result. `firm` means that it stands beside a metric, so only a result can verify it."""

    text: str
    value: float
    digits: int
    percent: bool
    firm: bool

    @property
    def tolerance(self) -> float:
        """The largest difference from a reported number that rounding explains."""
        rounded = self.digits > 0 or self.value >= _ROUNDED_TO_WHOLE
        return 0.5 * 10.0**-self.digits * (1 + 1e-9) if rounded else 1e-12


class ReportedNumbers:
    """The numbers to check claims against. Signs are ignored."""

    def __init__(self, texts: Iterable[str], more: Iterable[float] = ()) -> None:
        found = [one for text in texts for one in numbers_of(text)]
        self._values = sorted({*(abs(value) for value, _ in found), *map(abs, more)})
        self._percents = sorted({abs(value) for value, percent in found if percent})

    def has_value(self, value: float) -> bool:
        """Whether one of the numbers rounds to the value."""
        digits = f"{value:.12f}".rstrip("0").partition(".")[2]
        return self.has(StatedNumber("", value, len(digits), percent=False, firm=True))

    def has(self, claim: StatedNumber) -> bool:
        """Whether one of the numbers rounds to the claim, as a fraction or as a percentage."""
        low, high = claim.value - claim.tolerance, claim.value + claim.tolerance
        if _between(self._values, low, high):
            return True
        if claim.percent or (claim.digits > 0 and 1 < claim.value <= 100):
            # A table of percentages often omits the percent sign
            return _between(self._values, low / 100, high / 100)
        return _between(self._percents, low * 100, high * 100)


def _between(values: Sequence[float], low: float, high: float) -> bool:
    place = bisect_left(values, low)
    return place < len(values) and values[place] <= high


def numbers_of(text: str) -> Iterator[tuple[float, bool]]:
    """Yield every number in a text, and whether it is a percentage."""
    for found in re.finditer(r"(\d[\d,_]*(?:\.\d+)?|\.\d+)([eE][-+]?\d+)?(\s?%)?", text):
        digits = found[1].replace(",", "").replace("_", "")
        try:
            yield float(f"{digits}{found[2] or ''}"), bool(found[3])
        except ValueError:
            continue


def unverified(answer: str, results: ReportedNumbers, settings: ReportedNumbers) -> list[str]:
    """Return the unverified claims of an answer, as written in it.

    `results` come from tools and the user, `settings` from the arguments of the model's calls. The difference, ratio
    and mean of two verified numbers in the answer are verified too.
    """
    claims = list(claims_of(answer))
    verified = [one for one in claims if results.has(one) or (not one.firm and settings.has(one))]
    written = [value / 100 if percent else value for value, percent in numbers_of(_blanked(_BLOCK, answer))]
    combined = [value for value in dict.fromkeys(written) if not _is_count(value) and results.has_value(value)]
    derived = ReportedNumbers((), _derived(combined[:_MAX_COMBINED]))
    remaining = [one for one in claims if one not in verified and not derived.has(one)]
    return list(dict.fromkeys(one.text for one in remaining))[:_MAX_UNVERIFIED]


def _is_count(value: float) -> bool:
    """Whether a number is a small whole number, which is too common to derive others from."""
    return value < _ROUNDED_TO_WHOLE and value == int(value)


def _derived(values: Sequence[float]) -> Iterator[float]:
    for a, b in permutations(values, 2):
        yield abs(a - b)
        yield abs(a - b) * 100
        yield (a + b) / 2
        if b:
            yield a / b
            yield abs(a - b) / abs(b)
    if len(values) > 2:
        yield sum(values) / len(values)


def claims_of(answer: str) -> Iterator[StatedNumber]:
    """Yield the numbers of a text that claim a result.

    These are percentages and decimals, except versions, sizes and times, and whole numbers beside a metric. Numbers in
    code, links, dates, headings and list markers are ignored.
    """
    heads: list[str] = []
    for line in _blanked(_BLOCK, answer).splitlines():
        cells = line.strip().strip("|").split("|") if line.lstrip().startswith("|") else []
        if not cells:
            heads = []
            yield from _in_line(line)
        elif not heads:
            heads = cells
        else:
            yield from _in_row(cells, heads)


def _in_row(cells: Sequence[str], heads: Sequence[str]) -> Iterator[StatedNumber]:
    """Yield the claims in a table row. The metric is in the column's head or in the first cell."""
    for place, cell in enumerate(cells):
        head = heads[place] if place < len(heads) else ""
        measured = bool(_METRIC.search(head) or (place and _METRIC.search(cells[0])))
        for found in _NUMBER.finditer(_blanked(_NO_PROSE, cell)):
            if measured or found["percent"] or (found["part"] and _METRIC.search(cell)):
                yield _claim(found, firm=measured)


def _in_line(line: str) -> Iterator[StatedNumber]:
    line = _blanked(_NO_PROSE, line)
    for found in _NUMBER.finditer(line):
        before, after = line[max(0, found.start() - _CHARACTERS_BACK) : found.start()], line[found.end() :]
        if _SOFTWARE.search(before) or (not found["percent"] and _MEASURE.match(after)):
            continue
        if _is_beside_metric(before, after):
            if found["part"] or found["percent"] or (_adjacent(before) and not _COUNTED.match(after)):
                yield _claim(found, firm=True)
        elif found["part"] or found["percent"]:
            yield _claim(found, firm=False)


def _is_beside_metric(before: str, after: str) -> bool:
    """Whether a metric precedes the number in its sentence, with no other number between, or directly follows it."""
    sentence = re.split(r"[.;!?](?:\s|$)|\n", before)[-1]
    metrics = list(_METRIC.finditer(sentence))
    between = sentence[metrics[-1].end() :] if metrics else ""
    alone = bool(metrics) and not re.search(r"\d", between) and "," not in between
    paired = bool(metrics) and bool(
        re.search(r"\d\s*%?\s*(?:to|vs\.?|versus|against|→|->|and|\()[\s\w*(]{0,20}$", between)
    )
    return alone or paired or bool(_METRIC.match(after.lstrip(" *_`")[:_CHARACTERS_ON]))


def _adjacent(before: str) -> bool:
    metrics = list(_METRIC.finditer(before))
    return bool(metrics) and _LINK.fullmatch(before[metrics[-1].end() :]) is not None


def _claim(found: re.Match[str], *, firm: bool) -> StatedNumber:
    value = float(f"{found['whole'].replace(',', '')}{found['part'] or ''}{found['power'] or ''}")
    power = int(found["power"][1:]) if found["power"] else 0
    digits = len(found["part"] or ".") - 1 - power
    return StatedNumber(found[0].strip(), value, digits, bool(found["percent"]), firm)


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Replace the matches by spaces, keeping line breaks."""
    return pattern.sub(lambda found: re.sub(r"\S", " ", found[0]), text)
