"""The tests that decide about a mutant: a copy of the repository, which tests run which lines there, and their run."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import accumulate, groupby
from pathlib import Path
from typing import NoReturn, Self

import pytest
from coverage import CoverageData

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "mutants"
TREE = CACHE / "tree"
"""The copy in which mutations are applied."""
COVERAGE = CACHE / "coverage"
TIMES = CACHE / "times.json"
"""The seconds of each test that passed, by test file and by name, and the digest of each file."""

TESTS = ("nodes/**", "safety/*", "store/**", "execution/**", "graph/**", "session/*", "tools/local/**")
"""The tests that may decide. The others are slow, or run the code in other processes."""
MAX_SECONDS = 15.0
"""Each part of the tests of a mutant takes at most as long without it."""
SOURCES = "nodes,store,execution,safety"
PRELOADED = (
    *("hypothesis", "litellm", "langchain_litellm", "langgraph.graph", "langgraph.checkpoint.sqlite.aio", "langsmith"),
    *("huggingface_hub", "mcp", "requests", "rich.console", "pygments.lexers", "yaml", "tree_sitter_bash", "rapidfuzz"),
)
"""Large packages. They are imported once, before the process for a mutant branches off."""


def isolate() -> None:
    """Restart as the first process of a process namespace: a mutant then reaches no process that it did not start."""
    if os.getpid() != 1:
        user = () if os.geteuid() == 0 else ("--user", "--map-current-user")
        command = ("unshare", *user, "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-u")
        os.execvp(command[0], (*command, "-m", "scripts.mutants", *sys.argv[1:]))  # noqa: S606
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the first process has no default action


def copy_repository() -> None:
    """Bring the copy up to date with the working tree. Files that are equal stay as they are."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    wanted = {name for name in listed if name and ((ROOT / name).is_symlink() or (ROOT / name).is_file())}
    for name in wanted:
        _copy(ROOT / name, TREE / name)
    for path in [*TREE.rglob("*.py")]:
        if path.is_file() and not _through_link(path) and str(path.relative_to(TREE)) not in wanted:
            path.unlink()


def _copy(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.is_symlink():
        if not new.is_symlink():
            new.symlink_to(old.readlink())
    elif not new.exists() or new.read_bytes() != old.read_bytes():
        shutil.copyfile(old, new)
        shutil.copymode(old, new)


def _through_link(path: Path) -> bool:
    return path.resolve() != path


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), cwd=ROOT, check=True, capture_output=True, text=True).stdout


def preload() -> None:
    """Import large packages, which the processes for the mutants then share."""
    os.chdir(TREE)
    sys.path.insert(0, str(TREE))
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # litellm asks the network otherwise
    for name in PRELOADED:
        import_module(name)


def passes(chosen: Sequence[str], limit: float) -> bool:
    """Run tests in a process of their own, up to the first failure. Tests that take too long fail."""
    child = os.fork()
    if child == 0:
        _become_tests(chosen)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            _end_others()
            return status == 0
        time.sleep(0.05)
    _end_others()
    return False


def failed_test(chosen: Iterable[str]) -> str:
    """Return which of the tests failed in the latest run, or "" if it did not come to a failure."""
    lines = (CACHE / "output").read_text(errors="replace").splitlines()
    failures = [line.partition(" ")[2] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    found = (test for test in chosen if any(f"{one} - ".startswith(f"{test} - ") for one in failures))
    return next(found, "")


def _become_tests(chosen: Sequence[str]) -> NoReturn:
    os.setsid()
    output = os.open(CACHE / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.dont_write_bytecode = True  # a mutant's bytecode must not outlast it
    names = CACHE / "chosen"
    names.write_text("\n".join(chosen))
    temporary = f"--basetemp=/tmp/mutants-{os.getppid()}"  # short, for the addresses of sockets
    how = ["-x", "-n", "0", "-p", "no:cacheprovider", temporary, "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    try:
        code = pytest.main([*how, "--timeout=60", f"@{names}"])
    except BaseException:  # noqa: BLE001  a mutant can break anything
        code = 1
    os._exit(int(code))


def _end_others() -> None:
    """End every other process of the namespace: what a test started can have left its group."""
    if os.getpid() != 1:
        raise RuntimeError("mutants run in a process namespace of their own")
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


@dataclass(frozen=True)
class Map:
    """The passing tests with their seconds, and the lines that they run."""

    seconds: Mapping[str, float]
    data: CoverageData
    measured: Mapping[str, str]
    """The digests of the modules whose lines are known. Another digest means that the lines have moved."""

    @classmethod
    def load(cls, *, renew: bool) -> Self:
        """Measure the test files that changed, or all of them, and return the result."""
        known = {} if renew or not TIMES.exists() else json.loads(TIMES.read_text())
        current = {name: _digest(name) for name in _test_files()}
        stale = [name for name, digest in current.items() if known.get(name, {}).get("digest") != digest]
        for folder, files in groupby(stale, key=lambda name: str(Path(name).parent)):
            names = list(files)
            print(f"measuring which lines the tests in {folder} run", flush=True)
            known.setdefault("", {str(path.relative_to(TREE)): _digest(str(path)) for path in _modules()})
            measured = _measure(names, append=len(known) > 1)
            known |= {name: {"digest": current[name], "times": measured.get(name, {})} for name in names}
            TIMES.write_text(json.dumps(known))
        data = CoverageData(str(COVERAGE))
        data.read()
        found = (known[name]["times"] for name in current if name in known)
        return cls({test: seconds for one in found for test, seconds in one.items()}, data, known.get("", {}))

    def covering(self, module: str, first: int, last: int) -> list[list[str]]:
        """Return the tests that run one of the lines, in parts.

        Tests of the module's own folder start faster and come first. In them and in the others, those that run the most
        lines of the module come first, since they are about it. The third part has the fastest of the rest. Lines that
        run while the module is imported belong to all tests of the module.
        """
        lines = _contexts(self.data, str(TREE / module))
        found = {test for line in range(first, last + 1) for test in lines.get(line, ())}
        if "" in found or not found or self.measured.get(module) != _digest(module):
            found = {test for tests in lines.values() for test in tests}
        order = sorted((test for test in found if test in self.seconds), key=lambda test: self.seconds[test])
        share = Counter(test for tests in lines.values() for test in tests)
        folder = f"tests/{module.split('/')[0]}/"
        own = self._first(sorted((test for test in order if test.startswith(folder)), key=lambda test: -share[test]))
        others = [test for test in order if not test.startswith(folder)]
        about = self._first(sorted(others, key=lambda test: -share[test]))
        fast = self._first([test for test in order if test not in {*own, *about}])
        return [part for part in (own, about, fast) if part]

    def _first(self, order: Sequence[str]) -> list[str]:
        """Return the first tests that take MAX_SECONDS together, at least one."""
        ends = accumulate(self.seconds[test] for test in order)
        return [test for test, end in zip(order, ends, strict=True) if test == order[0] or end <= MAX_SECONDS]

    def limit(self, chosen: Sequence[str]) -> float:
        """Return the seconds after which tests are stopped: a change that makes them slow is noticed, too."""
        return 60 + 10 * sum(self.seconds[test] for test in chosen)


def _modules() -> Iterator[Path]:
    for folder in SOURCES.split(","):
        yield from (TREE / folder).rglob("*.py")


def _digest(name: str) -> str:
    return hashlib.sha256((TREE / name).read_bytes()).hexdigest()


@cache
def _contexts(data: CoverageData, path: str) -> dict[int, set[str]]:
    found = data.contexts_by_lineno(path)
    return {line: {name.partition("|")[0] for name in names} for line, names in found.items()}


def _test_files() -> Iterator[str]:
    for pattern in TESTS:
        found = (TREE / "tests").glob(f"{pattern}.py" if pattern.endswith("/*") else f"{pattern}/*.py")
        yield from sorted(str(path.relative_to(TREE)) for path in found if path.name.startswith("test_"))


def _measure(files: Sequence[str], *, append: bool) -> dict[str, dict[str, float]]:
    """Run test files once with coverage. Return the seconds of the tests that pass, by file and name."""
    results, settings = CACHE / "results.xml", CACHE / "coveragerc"
    settings.write_text(f"[run]\nsource = {SOURCES}\ndata_file = {COVERAGE}\ndisable_warnings = no-data-collected\n")
    how = ["--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report=", f"--junitxml={results}"]
    how += ["--cov-append"] if append else []
    command = (sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *how, *files)
    results.unlink(missing_ok=True)
    if (status := subprocess.run(command, cwd=TREE, check=False).returncode) > 1:
        raise RuntimeError(f"pytest ended with {status} before it had measured {files[0]}")
    return _times(ET.parse(results).iter("testcase"))  # noqa: S314  written by pytest


def _times(cases: Iterable[ET.Element]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for case in cases:
        file = case.get("classname", "").replace(".", "/") + ".py"
        if len(case) == 0 or case[0].tag == "system-out":  # neither failed nor skipped
            found.setdefault(file, {})[f"{file}::{case.get('name')}"] = float(case.get("time", 0))
    return found
