"""Facts about the strength of a result: the majority class, the noise of a difference, the number of tests."""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from ml_intern.evidence.findings import Finding
from ml_intern.evidence.numbers.agreement import Measurements
from ml_intern.evidence.numbers.measured import NumberLabel
from ml_intern.evidence.numbers.stated import Stated, stated_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.text.formatting import plural

LABELS: Final = re.compile(r"(?i)^(?:y|label|labels|target|class|outcome|is_\w+)$")
_PROPORTIONS: Final = frozenset({"accuracy", "error"})
_MAX_BYTES: Final = 64 * 1024 * 1024
_MAX_CLASSES: Final = 50
_BETTER: Final = re.compile(
    r"(?i)\b(?:better|beats?|outperforms?|improv\w+|superior|wins?|higher|gain|best|exceeds?)\b"
)
_HEDGED: Final = re.compile(
    r"(?i)standard error|interval|\bnoise\b|no difference|not significan|within|±|\+/-|"
    r"confidence|cannot be told|can't tell|too (?:few|small)|uncertain|p\s*[=<]"
)
_BASELINE: Final = re.compile(r"(?i)majority|baseline|guess|chance|always|constant|dummy|imbalanc|no better|useless")
_BALANCED: Final = re.compile(r"(?i)\bbalanced[ _-]accuracy\b")
_READY: Final = re.compile(
    r"(?i)\b(?:production|deploy\w*|reliabl\w+|ready|good enough|meets?|satisf\w+|reache[sd]|fit for)\b"
)
_NOT: Final = re.compile(r"(?i)\b(?:not|no|never|cannot|n't|too few|unknown)\b")
_SIGNIFICANT: Final = re.compile(r"(?i)\bsignifican\w+")
_CORRECTED: Final = re.compile(
    r"(?i)correct(?:ed|ion)|bonferroni|\bfdr\b|\bholm\b|benjamini|multiple|\bq[- ]?values?\b|after \w+ tests"
)
_MANY_TESTS: Final = re.compile(
    r"\b(?:f_classif|f_regression|chi2|ttest_ind|ttest_rel|mannwhitneyu|pearsonr|spearmanr|f_oneway|wilcoxon|ks_2samp|chi2_contingency|fisher_exact|linregress)\b"
)
_MANY: Final = 10
_Z: Final = 1.96
_UNBALANCED: Final = 0.6
_SMALL: Final = 50


def statistic_findings(
    answer: str, seen: Observations, used: Sequence[Execution], measured: Measurements
) -> Iterator[Finding]:
    """Yield the facts that the answer leaves out."""
    stated = stated_in(answer)
    rates = [one for one in stated if one.metric in _PROPORTIONS and one.firm and not one.quoted]
    tables = [table for table in (_table(path) for path in _test_files(answer, used)) if table]
    counts = [rows for rows, _ in tables] or [int(one.value) for one in measured.labelled(_is_count)]
    rows = min((count for count in counts if count >= 2), default=0)
    yield from _majority(answer, rates, [labels for _, labels in tables])
    if rows:
        yield from _noise(answer, rates, rows)
        yield from _few(answer, rates, rows)
    yield from _tests(answer, stated, seen, used)


def _is_count(one: NumberLabel) -> bool:
    return one.counted in ("n", "row", "test")


def _share(one: Stated) -> float:
    value = one.value / 100 if one.unit == "%" or one.value > 1 else one.value
    return 1 - value if one.metric == "error" else value


def _majority(answer: str, rates: Sequence[Stated], tables: Sequence[Counter[str]]) -> Iterator[Finding]:
    own = [one for one in rates if not one.roles & {"baseline", "old", "train"} and not _BALANCED.search(one.sentence)]
    if _BASELINE.search(answer) or not own:
        return
    for labels in tables:
        total, top = sum(labels.values()), max(labels.values(), default=0)
        share = top / total if total else 0.0
        error = math.sqrt(max(share * (1 - share), 1e-9) / max(total, 1))
        if len(labels) < 2 or share < _UNBALANCED or not any(_share(one) <= share + error for one in own):
            continue
        name = labels.most_common(1)[0][0]
        message = f"always answering {name} gives {share:.4g} on the test rows; the answer does not say so"
        yield Finding("majority class", message)
        return


def _noise(answer: str, rates: Sequence[Stated], rows: int) -> Iterator[Finding]:
    """Yield a fact if two rates that are called different lie within the noise of their difference."""
    if len(rates) < 2 or not _BETTER.search(answer) or _HEDGED.search(answer):
        return
    values = list(dict.fromkeys(_share(one) for one in rates))[:2]
    if len(values) == 2 and all(0 <= value <= 1 for value in values):
        error = math.sqrt(sum(value * (1 - value) for value in values) / rows)
        if abs(values[0] - values[1]) < _Z * error:
            gap, noise = abs(values[0] - values[1]), _Z * error
            message = f"the difference {gap:.4f} is within the noise of {plural(rows, 'row')}, ± {noise:.4f}"
            yield Finding("noise", message)


def _few(answer: str, rates: Sequence[Stated], rows: int) -> Iterator[Finding]:
    if rows > _SMALL or not rates or _HEDGED.search(answer) or not _READY.search(answer) or _NOT.search(answer):
        return
    low, high = wilson(_share(rates[0]), rows)
    yield Finding(
        "few rows", f"the 95 % interval of {rates[0].text} from {plural(rows, 'row')} is {low:.3f} to {high:.3f}"
    )


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share of `rows`."""
    share = min(max(share, 0.0), 1.0)
    scale = 1 + _Z**2 / rows
    centre = (share + _Z**2 / (2 * rows)) / scale
    half = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def _tests(answer: str, stated: Sequence[Stated], seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield a fact if one p-value of many is called significant without a correction."""
    found = _SIGNIFICANT.search(answer)
    if not found or _CORRECTED.search(answer) or _NOT.search(answer[max(0, found.start() - 25) : found.start()]):
        return
    code = "\n".join(text for run in used for _, text in seen.sources(run))
    if not _MANY_TESTS.search(code):
        return
    tables = [_columns(Path(path)) for run in used for path in run.opened if path.endswith((".csv", ".tsv"))]
    columns = max(tables, default=0)
    values = [one.value for one in stated if one.metric == "p"]
    if columns > _MANY and any(value * columns > 0.05 for value in values or [0.05]):
        yield Finding(
            "many tests", f"about {columns - 1} columns were tested, and the p-value is given without a correction"
        )


def _test_files(answer: str, used: Sequence[Execution]) -> list[Path]:
    """Return the tables that the numbers were measured on: those that the answer names, else opened test files."""
    opened = [Path(path) for run in used for path in sorted(run.opened) if path.endswith((".csv", ".tsv"))]
    named = [path for path in opened if path.name in answer]
    tests = [path for path in opened if re.search(r"(?i)test|eval|held|valid", path.name)]
    return named or tests


def row_counts(used: Sequence[Execution]) -> set[float]:
    """Return the numbers of rows of the tables that executions opened."""
    paths = {path for run in used for path in run.opened if path.endswith((".csv", ".tsv"))}
    return {float(table[0]) for path in sorted(paths) if (table := _table(Path(path)))}


def row_count(path: Path) -> int:
    """Return the number of rows of a table with a head; 0 if it cannot be read."""
    return table[0] if path.suffix in (".csv", ".tsv") and (table := _table(path)) else 0


def _table(path: Path) -> "tuple[int, Counter[str]] | None":
    try:
        state = path.stat()
    except OSError:
        return None
    return _counted(str(path), state.st_mtime_ns) if state.st_size <= _MAX_BYTES else None


@lru_cache(maxsize=16)
def _counted(path: str, _changed: int) -> "tuple[int, Counter[str]] | None":
    """Return the number of rows of a table and how often each label occurs, if a column holds few different labels."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace", newline="") as file:
            lines = csv.reader(file, delimiter="\t" if path.endswith(".tsv") else ",")
            head = next(lines, [])
            column = next((place for place, name in enumerate(head) if LABELS.match(name.strip())), len(head) - 1)
            labels: Counter[str] = Counter()
            rows = 0
            for line in lines:
                rows += 1
                if len(line) > column >= 0 and len(labels) <= _MAX_CLASSES:
                    labels[_whole(line[column])] += 1
    except (OSError, csv.Error):
        return None
    return rows, labels if len(labels) <= _MAX_CLASSES else Counter()


def _whole(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text.strip()


def _columns(path: Path) -> int:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return len(file.readline(1_000_000).split("\t" if path.suffix == ".tsv" else ","))
    except OSError:
        return 0
