"""What holds for the whole run: the Hub's library stays away from the user's home; what its tests counted."""

import atexit
import os
import shutil
import tempfile

import pytest

# The library reads these when it is imported.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="ml-intern-tests-hf-")
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)


SECTIONS = {"faults": "faults played", "reached": "reached"}


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
