"""Choose how the numbers of an answer can be computed again: the user's evaluator, or else a reference metric."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ml_intern.evidence.locks import changed_locks, is_evaluator, is_test_data, named_files
from ml_intern.evidence.numbers.stated import stated_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.statement.build import delivered_artifacts
from ml_intern.safety.shell.invocations import Invocation

REFERENCE: Final = Path(__file__).with_name("reference_script.py")
"""The script that computes reference metrics in the user's environment."""
_LOADED: Final = frozenset({".joblib", ".pkl", ".pickle", ".sav"})
_TABLES: Final = frozenset({".csv", ".tsv", ".parquet"})

_INTERPRETER: Final = re.compile(r"python[\d.]*|bash|sh")
_HARMLESS: Final = frozenset({"-u", "-B", "-E", "-s"})
"""Options of an interpreter that do not change what a script computes."""
_REFERENCES: Final = re.compile(r"(?i)ref|gold|target|truth|expected")
_HYPOTHESES: Final = re.compile(r"(?i)hyp|pred|out|sys|translat|transcri|generat")
_MAX_TABLE: Final = 200_000_000


@dataclass(frozen=True)
class Evaluation:
    """A command that computes metrics of a delivered artifact. `files` are the files that it depends on."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    files: tuple[Path, ...]
    rows: int = 0
    """Rows of the test data; 0 means unknown."""
    reference: bool = False
    shown: tuple[str, ...] = ()
    """Files that other commands cannot read."""


class NotPossible(Exception):
    """The numbers cannot be computed again. The message is the reason."""


def plan_evaluation(answer: str, seen: Observations, table: str = "") -> Evaluation:
    """Return the evaluation of what an answer delivers. Raises NotPossible with the reason.

    `table` is the test data to use, or "". An evaluator that does not use it is not chosen.
    """
    evaluators = [Path(row.ref) for row in seen.locks if is_evaluator(row.ref)]
    if evaluators:
        evaluation = _of_evaluator(evaluators[-1], seen)
        if not table or _uses(evaluation, evaluators[-1], table):
            return evaluation
    if table:
        _refuse_changed((seen.workspace / table).resolve(), seen)
        return _reference(answer, (seen.workspace / table).resolve(), seen)
    tables = [Path(row.ref) for row in seen.locks if is_test_data(row.ref) and Path(row.ref).suffix in _TABLES]
    if not tables:
        return _of_texts(answer, seen)
    _refuse_changed(tables[-1], seen)
    return _reference(answer, tables[-1], seen)


def plan_on_table(answer: str, seen: Observations, table: Path) -> Evaluation:
    """Return the evaluation of a delivered artifact on other test data of the same form. Raises NotPossible.

    The evaluator of the user is run with this file in place of the test data among its arguments.
    """
    evaluators = [Path(row.ref) for row in seen.locks if is_evaluator(row.ref)]
    if not evaluators:
        found = _of_models(answer, table, seen)
    else:
        found = _of_evaluator(evaluators[-1], seen)
        argv = tuple(str(table) if _is_data(word, evaluators[-1]) else word for word in found.argv)
        if argv == found.argv:
            raise NotPossible(f"{found.name} does not get the test data as an argument")
        found = replace(found, argv=argv, rows=_count(table))
    return replace(found, files=(*found.files, table), shown=(str(table),))


def _is_data(word: str, evaluator: Path) -> bool:
    return is_test_data(word) and Path(word).name != evaluator.name


def _uses(evaluation: Evaluation, evaluator: Path, table: str) -> bool:
    named = any(path.name == Path(table).name for path in evaluation.files)
    return named or Path(table).name in evaluator.read_text(encoding="utf-8", errors="replace")


def _refuse_changed(path: Path, seen: Observations) -> None:
    rows = [row for row in seen.locks if row.ref == str(path)]
    if any(changed_locks(rows, seen.workspace)):
        raise NotPossible(f"{seen.short(path)} was changed since the start of the task")


def _of_evaluator(path: Path, seen: Observations) -> Evaluation:
    for table in [path, *(Path(row.ref) for row in seen.locks if is_test_data(row.ref))]:
        _refuse_changed(table, seen)
    for run in reversed(seen.programs):
        for program in reversed(run.programs):
            folder = _folder(program, run)
            if _runs(program, path, folder, seen):
                files = _depends(path, program, folder, run)
                return Evaluation(seen.short(path), _words(program), folder, files, _rows(seen))
    argv = (interpreter(seen), str(path)) if path.suffix == ".py" else ("bash", str(path))
    return Evaluation(seen.short(path), argv, seen.workspace, (path, *_written(seen)), _rows(seen))


def _rows(seen: Observations) -> int:
    """Return the rows of the test data, if it is one table of text."""
    tables = [Path(row.ref) for row in seen.locks if is_test_data(row.ref) and row.ref.endswith((".csv", ".tsv"))]
    return _count(tables[0]) if len(tables) == 1 else 0


def _count(table: Path) -> int:
    if table.suffix not in (".csv", ".tsv") or table.stat().st_size > _MAX_TABLE:
        return 0
    with table.open("rb") as file:
        return max(0, sum(1 for line in file if line.strip()) - 1)


def _folder(program: Invocation, run: Execution) -> Path:
    return Path(program.folders[-1]) if program.folders else run.folder


def _runs(program: Invocation, path: Path, folder: Path, seen: Observations) -> bool:
    """Return whether a program is the evaluator, run by itself or by an interpreter that this thread did not write.

    Words before it other than the interpreter could replace what it does, such as `-c` with other code.
    """
    texts = [word.text for word in program.command.words]
    places = [place for place, text in enumerate(texts) if text and (folder / text).resolve() == path]
    if not places or not all(word.literal for word in program.command.words):
        return False
    before = texts[: places[0]]
    before = before[2:] if before[:2] == ["uv", "run"] else before
    if not before:
        return True
    known = _INTERPRETER.fullmatch(Path(before[0]).name) is not None and str(folder / before[0]) not in seen.written
    return known and set(before[1:]) <= _HARMLESS


def _words(program: Invocation) -> tuple[str, ...]:
    """Return the command line of a program. `uv run` must not change the environment first."""
    words = tuple(word.text for word in program.command.words)
    return ("uv", "run", "--no-sync", *words[2:]) if words[:2] == ("uv", "run") else words


def _depends(path: Path, program: Invocation, folder: Path, run: Execution) -> tuple[Path, ...]:
    named = [folder / word for word in program.arguments]
    return tuple(dict.fromkeys(one for one in [path, *named, *map(Path, sorted(run.opened))] if one.is_file()))


def interpreter(seen: Observations) -> str:
    """Return the Python that the thread's last script ran with."""
    for run in reversed(seen.programs):
        for program in reversed(run.programs):
            word = program.command.words[0].text if program.command.words else ""
            if Path(word).name.startswith("python") and str(_folder(program, run) / word) not in seen.written:
                return str(_folder(program, run) / word) if "/" in word else word
    return "python3"


def _reference(answer: str, table: Path, seen: Observations) -> Evaluation:
    for path in _predictions(answer, seen):
        return _with_metrics(path, table, seen)
    return _of_models(answer, table, seen)


def _of_models(answer: str, table: Path, seen: Observations) -> Evaluation:
    for path in _models(answer, seen):
        return _with_metrics(path, table, seen)
    raise NotPossible("no evaluator is named, and the answer delivers no predictions and no model that can be loaded")


def _of_texts(answer: str, seen: Observations) -> Evaluation:
    """Return the evaluation of the hypotheses and references that the user's message names, for BLEU and WER."""
    named = [seen.workspace / name for name in named_files(seen.user_text) if name.endswith(".txt")]
    texts = [path.resolve() for path in named if path.is_file()]
    references = [path for path in texts if _REFERENCES.search(path.stem)]
    hypotheses = [path for path in texts if path not in references and _HYPOTHESES.search(path.stem)]
    if len(references) != 1 or len(hypotheses) != 1 or not {"bleu", "wer"} & {one.metric for one in stated_in(answer)}:
        raise NotPossible("no evaluator is named")
    if str(references[0]) in seen.written:
        raise NotPossible(f"{seen.short(references[0])} was written in this thread")
    return _with_metrics(hypotheses[0], references[0], seen, "reference metrics")


def _with_metrics(path: Path, table: Path, seen: Observations, name: str = "scikit-learn") -> Evaluation:
    argv = (interpreter(seen), "-c", REFERENCE.read_text(encoding="utf-8"), str(path), str(table))
    return Evaluation(name, argv, seen.workspace, (path, table), reference=True)


def _predictions(answer: str, seen: Observations) -> Iterator[Path]:
    for path in _written(seen):
        if path.suffix in (".csv", ".tsv") and path.name in answer and ("pred" in path.name or "subm" in path.name):
            yield path


def _models(answer: str, seen: Observations) -> Sequence[Path]:
    return [path for path in delivered_artifacts(answer, seen) if path.suffix in _LOADED]


def _written(seen: Observations) -> list[Path]:
    return [Path(path) for path, name in seen.written.items() if name and Path(path).is_file()]
