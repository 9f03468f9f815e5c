"""What holds for the whole run: its length, the home of the Hub's library, bytecode, servers, and what it counted."""

import atexit
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes.postgres import PostgresServer, missing, running_server
from tests.faults.counts import EVERY_FAULT

# How fast examples are made says how busy the machine is.
_EXAMPLES = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
settings.register_profile("all", _EXAMPLES)
settings.register_profile("some", _EXAMPLES, max_examples=20)
settings.load_profile("all" if EVERY_FAULT else "some")

# The library reads these when it is imported.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="ml-intern-tests-hf-")
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

# Hundreds of children start. Where none may leave bytecode behind, each would compile everything again, for seconds.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="ml-intern-tests-bytecode-")
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this process."""
    if why := missing():
        pytest.skip(why)
    with running_server() as server:
        yield server


SECTIONS = {"faults": "faults played", "reached": "reached"}
COUNTED = {"injections": "injections that did nothing, and twins that went through", "hostile": "hostile folders"}


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: a third of the time a test waits for a process of its own."""
    return (os.cpu_count() or 2) + 2


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for property, title in SECTIONS.items():
        lines = [
            f"{report.nodeid.rpartition('::')[2]}: {value}"
            for report in reports
            if isinstance(report, pytest.TestReport) and report.when == "call"
            for name, value in report.user_properties
            if name == property
        ]
        if lines:
            terminalreporter.section(title)
            for line in sorted(lines):
                terminalreporter.write_line(line)
    _write_counts(terminalreporter, reports)


def _write_counts(terminalreporter: pytest.TerminalReporter, reports: list[object]) -> None:
    for property, title in COUNTED.items():
        outcomes = Counter(
            f"{value}: {report.outcome}"
            for report in reports
            if isinstance(report, pytest.TestReport) and report.when == "call"
            for name, value in report.user_properties
            if name == property
        )
        if outcomes:
            terminalreporter.section(title)
            for line, count in sorted(outcomes.items()):
                terminalreporter.write_line(f"{line} {count}")
