"""Check the amounts that an answer says of a training: its rows, its folds, its seed."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.hints import fitted_rows
from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.checks.statistics import row_count
from ml_intern.evidence.code.tables import role_of
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.verdict import Claim
from ml_intern.text.formatting import plural

_ALL_ROWS: Final = re.compile(
    r"(?i)\b(?:train|fit)\w*\s+(?:\w+\s+){0,3}?(?:on|with)\s+(?:all|every|the (?:full|entire|whole))\s+"
    r"(?:of\s+)?(?:the\s+)?([\d,]+)\s+(?:\w+\s+)?rows\b"
)
_EACH_ROW: Final = re.compile(
    r"(?i)\b(?:train|fit)\w*\s+(?:\w+\s+){0,3}?(?:on|with)\s+(?:all|every|each)\s+(?:of\s+)?(?:the\s+)?rows?\b"
    r"(?:\s+(?:of|in|from)\s+`?([\w./-]+\.[ct]sv)\b)?(?!\s+(?:of|in|from)\b)"
)
_FOR_ROWS: Final = re.compile(
    r"(?i)\bpredictions\s+(?:for|of)\s+(?:all|every|each)\s+(?:of\s+)?(?:the\s+)?(?:([\d,]+)\s+)?(?:test\s+)?rows?\b[^\n]{0,120}"
)
_TABLE: Final = re.compile(r"[\w./-]+\.[ct]sv\b")
_SEED: Final = re.compile(r"(?i)\b(?:random )?seed\s*(?:=|:|of|is|was)?\s*(\d+)\b")
_SETTING: Final = re.compile(r"^(?:random_state|seed|random_seed|global_seed|SEED)$")
_SETTERS: Final = re.compile(r"^(?:seed|manual_seed|set_seed|default_rng|RandomState|seed_everything|PRNGKey)$")


def amount_claims(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Claim]:
    """Yield the amounts that the executions contradict. What they do not know is not a claim."""
    for match in _ALL_ROWS.finditer(answer):
        wanted = int(match[1].replace(",", ""))
        name, rows = max(((run.name, fitted_rows(run)) for run in used), key=lambda one: one[1], default=("", 0))
        if 0 < rows < wanted:
            fact = f"the largest fit of {name} had {plural(rows, 'row')}"
            yield Claim(match[0], "contradicted", fact, "row", source=name)
    for match in _EACH_ROW.finditer(answer):
        yield from _each_row(match, seen, used)
    for match in _FOR_ROWS.finditer(answer):
        yield from _predicted_rows(match, seen)
    for match in _SEED.finditer(answer):
        known = {seed: run.name for run in used for seed in _seeds(run, seen)}
        if known and not any(_names(int(match[1]), run, seen) for run in used):
            listed = ", ".join(map(str, sorted(known)[:5]))
            name = next(iter(known.values()))
            yield Claim(match[0], "contradicted", f"the seeds in {name} are {listed}", "seed", source=name)


def _each_row(match: re.Match[str], seen: Observations, used: Sequence[Execution]) -> Iterator[Claim]:
    """Yield "trained on all rows" if the largest fit had fewer rows than the training file."""
    for run in used:
        opened = [Path(path) for path in run.opened if path.endswith((".csv", ".tsv")) and path not in seen.written]
        named = Path(match[1]).name if match[1] else ""
        files = [path for path in opened if path.name == named or (not named and role_of(path.stem) == "train")]
        rows, total = fitted_rows(run), row_count(files[0]) if len(files) == 1 else 0
        if 0 < rows < total:
            fact = f"the largest fit of {run.name} had {plural(rows, 'row')}, and {seen.short(files[0])} has {total}"
            yield Claim(match[0], "unsupported", fact, "row", source=run.name)


def _predicted_rows(match: re.Match[str], seen: Observations) -> Iterator[Claim]:
    """Yield "predictions for all rows" if the file of predictions that the sentence names has fewer rows."""
    paths = [path for name in _TABLE.findall(match[0]) if (path := seen.find(name))]
    made = [path for path in paths if str(path) in seen.written]
    given = [row_count(path) for path in paths if path not in made]
    wanted = int(match[1].replace(",", "")) if match[1] else max(given, default=0)
    rows = row_count(made[0]) if len(made) == 1 else 0
    if 0 < rows < wanted - 1:  # a file without a head has one row more than is counted
        name = seen.short(made[0])
        yield Claim(match[0][:100], "contradicted", f"{name} has {plural(rows, 'row')}, and not {wanted}", "row")


def _seeds(run: Execution, seen: Observations) -> Iterator[int]:
    """Yield the seeds that an execution set, as far as its code and its reports say so."""
    reported = (re.match(r"seed \S+ (\d+)\Z", hint) for hint in run.hints)
    yield from (int(one[1]) for one in reported if one)
    for _, code in seen.sources(run):
        for node in nodes_of(code):
            if isinstance(node, ast.keyword) and _SETTING.match(node.arg or ""):
                yield from _whole(node.value)
            elif isinstance(node, ast.Call) and node.args and _SETTERS.match(ast.unparse(node.func).rpartition(".")[2]):
                yield from _whole(node.args[0])


def _whole(node: ast.expr) -> Iterator[int]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield node.value


def _names(number: int, run: Execution, seen: Observations) -> bool:
    """Whether an execution could have used a number: it is in the command, in the code, or in a report."""
    texts = (run.command, *run.hints, *(code for _, code in seen.sources(run)))
    return any(re.search(rf"(?<![\d.]){number}(?![\d.])", text) for text in texts) or "range(" in " ".join(texts)
