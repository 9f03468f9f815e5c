"""Apply the data checks to the tables and texts that the programs of an answer read."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from ml_intern.evidence.checks.code import facts_of
from ml_intern.evidence.code.check import CodeFacts
from ml_intern.evidence.code.tables import role_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.numbers.names import plain, roles_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.overlap.check import check_splits
from ml_intern.evidence.overlap.script import check_data

_DATA: Final = frozenset({".csv", ".tsv", ".jsonl", ".txt", ".parquet"})
_MAX_FILES: Final = 4
_UNCERTAIN: Final = frozenset({"not-checked"})


def data_findings(seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the facts about the data that the executions split, fit and evaluate, as their code says."""
    found: list[Finding] = []
    for run in used:
        for path, code in seen.sources(run):
            found += _of_script(code, path, run.folder, _states(facts_of(code, path), run.folder))
    found += _opened(seen, used)
    yield from dict.fromkeys(one for one in found if one.rule not in _UNCERTAIN)


def fitted_findings(seen: Observations, used: Sequence[Execution], behind: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the test files on which an execution evaluates and an earlier one, whose files it read, fitted a model."""
    evaluated = {path for run in used for path in _files_of(seen, run, "evaluated_files")}
    names = {run.name for run in used}
    for run in (one for one in behind if one.name not in names):
        for path in sorted(evaluated & _files_of(seen, run, "fitted_files")):
            if role_of(path.stem) == "test":
                message = f"{run.name} fits a model on rows of {seen.short(path)}, on which it is evaluated"
                yield Finding("test-rows-in-fit", message, level="contradiction")


def _files_of(seen: Observations, run: Execution, kind: Literal["evaluated_files", "fitted_files"]) -> set[Path]:
    """Return the files that the scripts of an execution evaluate or fit on, as their code says."""
    names = {name for path, code in seen.sources(run) for name in getattr(facts_of(code, path), kind)}
    return {(run.folder / name).resolve() for name in names}


def _states(facts: CodeFacts, folder: Path) -> tuple[tuple[str, int], ...]:
    """Return the files of a script with the times of their last change."""
    names = facts.fitted_files | facts.evaluated_files | {one.file for one in facts.splits}
    return tuple((name, changed) for name in sorted(names) if (changed := _changed(folder / name)))


@lru_cache(maxsize=64)
def _of_script(code: str, path: str, folder: Path, _states: tuple[tuple[str, int], ...]) -> tuple[Finding, ...]:
    return tuple(check_data(facts_of(code, path), code, path, folder))


def _opened(seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Compare the opened files whose names say train and test. The code may read them in a way it does not show."""
    own = seen.written
    opened = sorted({path for run in used for path in run.opened if Path(path).suffix in _DATA and path not in own})
    roles = {path: roles_in(plain(Path(path).stem)) for path in opened if Path(path).is_file()}
    train = [path for path, found in roles.items() if "train" in found][:_MAX_FILES]
    test = [path for path, found in roles.items() if "test" in found][:_MAX_FILES]
    for one, other in ((one, other) for one in train for other in test if Path(one).suffix == Path(other).suffix):
        yield from _splits(one, _changed(Path(one)), other, _changed(Path(other)))


def _changed(path: Path) -> int:
    """Return the time of the last change of a file; 0 if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _splits(train: str, _train_changed: int, test: str, _test_changed: int) -> tuple[Finding, ...]:
    """Return the facts about two files. Their times of change are part of the cache key."""
    return tuple(check_splits(Path(train), Path(test)))
