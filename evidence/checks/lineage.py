"""Check that the numbers and the delivered model come from the same programs, and that those read the user's data."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from ml_intern.evidence.checks.files import WEIGHTS
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.text.digests import file_digest

_ARRAYS: Final = frozenset({".npy", ".npz"})
"""Files of arrays, which may be features or predictions instead of a model."""


def lineage(used: Sequence[Execution], seen: Observations) -> list[Execution]:
    """Return executions with those that wrote a file which they read, and so on."""
    found = {one.name: one for one in used}
    waiting = list(used)
    while waiting:
        run = waiting.pop()
        for other in seen.executions:
            if other.name not in found and other.began <= run.began and not run.opened.isdisjoint(other.written):
                found[other.name] = other
                waiting.append(other)
    return list(found.values())


def latest_lineage(used: Sequence[Execution], seen: Observations) -> list[Execution]:
    """Return executions with those that wrote the files which they read as they then were, and so on."""
    found = {one.name: one for one in used}
    waiting = list(used)
    while waiting:
        run = waiting.pop()
        for path in run.opened - run.written.keys():
            writers = [one for one in seen.executions if path in one.written and one.began < run.began]
            if writers and writers[-1].name not in found:
                found[writers[-1].name] = writers[-1]
                waiting.append(writers[-1])
    return list(found.values())


def lineage_findings(answer: str, seen: Observations, measuring: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the facts about the programs that printed the numbers. Silent where the lists of files are incomplete."""
    if not measuring or any(one.missed or one.remote for one in seen.executions if one.ran):
        return
    runs = lineage(measuring, seen)
    yield from _delivered(answer, seen, runs)
    yield from _without_data(seen, runs, measuring)


def _delivered(answer: str, seen: Observations, runs: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the delivered model with the content of an older file that the measuring programs did not use.

    If one of several delivered files was used, the others may be named for comparison.
    """
    paths = [path for path in map(Path, seen.written) if path.suffix in WEIGHTS and path.name in answer]
    digests = {path: file_digest(path) for path in paths if path.is_file()}
    known = {digest for run in runs for digest in (*run.written.values(), *_read(run, seen))}
    if known.isdisjoint(digests.values()):
        for path, digest in digests.items():
            if source := _older(path, digest, seen, runs):
                names = ", ".join(one.name for one in runs[:2])
                message = f"{seen.short(path)} has the content of {source}; {names} printed the numbers without it"
                level: Literal["warning", "contradiction"] = "warning" if path.suffix in _ARRAYS else "contradiction"
                yield Finding("older artifact", message, level=level)


def _read(run: Execution, seen: Observations) -> Iterator[str]:
    """Yield the digests of the weights that an execution opened, as they were then."""
    for path in run.opened:
        if Path(path).suffix in WEIGHTS:
            before = [one.written[path] for one in seen.executions if path in one.written and one.began < run.began]
            if before or path not in seen.written:
                yield before[-1] if before else _digest(path)


def _older(path: Path, digest: str, seen: Observations, runs: Sequence[Execution]) -> str:
    """Return the earlier file with this content: of a program that ran before, or one that nothing here wrote."""
    first = min(one.began for one in runs)
    for one in seen.programs:
        name = next((name for name, found in one.written.items() if found == digest), "")
        if name:
            return f"{seen.short(name)}, which {one.name} wrote before" if one.began < first else ""
    opened = sorted({name for one in seen.executions for name in one.opened if name not in seen.written})
    same = (name for name in opened if Path(name).suffix == path.suffix and _digest(name) == digest)
    return next((f"{seen.short(name)}, which was there before" for name in same), "")


def _digest(path: str) -> str:
    try:
        return file_digest(Path(path))
    except OSError:  # it was removed
        return ""


def _without_data(seen: Observations, runs: Sequence[Execution], measuring: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the programs whose numbers come from none of the data files that other programs of the thread read."""
    data = {path for one in seen.programs for path in one.opened if path not in seen.written and _is_named(path, seen)}
    if data and not any(data & run.opened for run in runs):
        names = ", ".join(one.name for one in measuring[:2])
        message = f"{names} printed the numbers, and neither read {seen.short(min(data))} nor a file made from it"
        yield Finding("no data read", message)


def _is_named(path: str, seen: Observations) -> bool:
    """Return whether a file is data that the user named."""
    return Path(path).suffix not in (".py", ".sh", ".md") and Path(path).name in seen.user_text
