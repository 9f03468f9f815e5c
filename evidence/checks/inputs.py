"""Check that the files and models that the user named were used by the programs whose results are reported."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from ml_intern.evidence.checks.lineage import lineage
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.locks import is_evaluator
from ml_intern.evidence.observations import Execution, Observations, content_of
from ml_intern.safety.shell.invocations import Invocation

_NAME: Final = re.compile(r"(?<![\w/.@-])((?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,9})(?![\w/])")
_MODEL: Final = re.compile(r"(?<![\w/.@-])([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*[A-Za-z0-9])(?![\w/.])")
_DATA: Final = frozenset(
    {
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".parquet",
        ".txt",
        ".npz",
        ".npy",
        ".pkl",
        ".pt",
        ".safetensors",
        ".bin",
        ".arrow",
        ".zip",
        ".xlsx",
        ".feather",
        ".h5",
    }
)
_TABLES: Final = frozenset({".csv", ".tsv", ".jsonl", ".parquet", ".npz"})
_AVOIDED: Final = re.compile(
    r"(?i)(?:do not|don't|never|without|not)\s+(?:use|open|read|touch|look at|train on)[^.;]*$"
)
_OUTPUT: Final = re.compile(
    r"(?i)\b(?:sav\w+|writ\w+|creat\w+|to|as|into|output|export\w*|produce|upload\w*|plot\w*)\s+(?:\w+\s+){0,4}[`'\"]?$"
)
_OVERRIDDEN: Final = re.compile(r"(?m)^note: overridden: \[substitution\] ([^;\n]+)")
_MAX_MODELS: Final = 2_000


def input_findings(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the inputs that the user named and no program opened. Silent where the lists are incomplete."""
    runs = [run for run in seen.programs if not run.remote]
    if not runs or any(run.missed for run in runs):
        return
    opened = {path for run in runs for path in run.opened} | {path for run in runs for path in run.written}
    for name, path in _named(seen):
        if str(path) not in opened:
            level: Literal["warning", "contradiction"] = "contradiction" if _is_table(path, answer) else "warning"
            yield Finding("input not opened", f"no program opened {name}, which the user named", level=level)
    yield from _in_answer(answer, seen, used)
    for name, paths in _models(seen):
        if not any(str(path) in opened for path in paths):
            others = sorted(seen.short(path) for path in opened if Path(path).parent == paths[0].parent)
            instead = f"; opened were {', '.join(others[:3])}" if others else ""
            message = f"no program opened {seen.short(paths[0])} of {name}, which the user named{instead}"
            yield Finding("model not opened", message, level="contradiction")


def overridden_findings(seen: Observations) -> Iterator[Finding]:
    """Yield the runs that the agent started against the check that the user's model and data are used."""
    for call in seen.calls:
        if call["tool"] == "jobs" and call["ok"]:
            for match in _OVERRIDDEN.finditer(call["text"]):
                yield Finding("overridden check", f"the agent overrode the check `substitution` of a run: {match[1]}")


def _named(seen: Observations) -> Iterator[tuple[str, Path]]:
    """Yield the data files and scripts of the user that the user's messages name as inputs."""
    own = {path for path, name in seen.written.items() if not name}
    made = {path for path, name in seen.written.items() if name}
    for match in _NAME.finditer(seen.user_text):
        before = seen.user_text[: match.start()]
        path = seen.workspace / match[1]
        if path.suffix not in _DATA or not path.is_file() or str(path) in made | own:
            continue
        if not _AVOIDED.search(before) and not _OUTPUT.search(before) and path.name != "requirements.txt":
            yield match[1], path


def _is_table(path: Path, answer: str) -> bool:
    """Whether a file is data or weights, or the answer names it. Other files may be settings or notes."""
    return path.suffix not in (".json", ".txt") or path.name in answer


def _in_answer(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the data files that the answer reports a number on and that the measuring programs did not open."""
    for match in re.finditer(
        r"(?i)\bon\s+(?:the\s+)?(?:\w+\s+)?[`'\"]?([\w./-]+\.(?:csv|tsv|jsonl|parquet|npz|txt))\b", answer
    ):
        path = seen.find(match[1])
        if path and used and not any(str(path) in run.opened for run in lineage(used, seen)):
            message = f"{', '.join(run.name for run in used[-2:])} printed the numbers and did not open {match[1]}"
            yield Finding("input not opened", message, level="contradiction")
        elif path and (other := _evaluated_instead(path, seen, used)):
            yield Finding("other data evaluated", f"{other}, and not on {match[1]}", level="contradiction")


def _evaluated_instead(path: Path, seen: Observations, used: Sequence[Execution]) -> str:
    """Say which data file the user's evaluator got each time it ran, if it never got the one that the answer names."""
    evaluators = {Path(row.ref).name for row in seen.locks if is_evaluator(row.ref)}
    commands = [_names(program) for run in used for program in run.programs]
    runs = [names for names in commands if evaluators & {*names}]
    given = [[name for name in names if Path(name).suffix in _TABLES] for names in runs]
    if not runs or not all(given) or any(path.name in names for names in given):
        return ""
    evaluator = next(name for name in runs[-1] if name in evaluators)
    source = seen.find(evaluator)
    return "" if source and path.name in content_of(source) else f"{evaluator} ran on {given[-1][0]}"


def _names(program: Invocation) -> list[str]:
    """Return the words of a command as names of files."""
    return [Path(word.text).name for word in program.command.words if word.text]


def _models(seen: Observations) -> Iterator[tuple[str, list[Path]]]:
    """Yield the model ids of the user's messages that files of the workspace belong to, and these files."""
    names = {match[1] for match in _MODEL.finditer(seen.user_text) if not (seen.workspace / match[1]).exists()}
    if not names:
        return
    files = [path for path in _files(seen.workspace) if path.suffix in _DATA]
    for name in sorted(names):
        paths = [path for path in files if f"/{name}" in str(path)]
        if paths:
            yield name, paths


def _files(folder: Path) -> list[Path]:
    """Return the files of the workspace and of three levels of folders in it."""
    found: list[Path] = []
    for pattern in ("*", "*/*", "*/*/*", "*/*/*/*"):
        found += [path for path in folder.glob(pattern) if path.is_file()][: _MAX_MODELS - len(found)]
    return found
