"""What the settings say of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.configs.settings import Settings
from ml_intern.execution.policy_inputs import settings_rules
from ml_intern.safety.policy import PolicyContext, verdict
from ml_intern.session.opening.options import as_run_options, from_settings, load_settings, with_cpu_jobs
from ml_intern.session.opening.request import SessionRequest

JOB = {"operation": "run", "backend": "hub", "script": "train.py", "hardware": "cpu-upgrade"}


@pytest.mark.parametrize(
    ("confirm", "changes", "kind"),
    [
        (False, {}, "allow"),
        (True, {}, "ask"),
        (False, {"hardware": "a10g-small"}, "ask"),
        (False, {"backend": "local"}, "ask"),
        (False, {"operation": "cancel"}, "ask"),
    ],
)
def test_jobs_on_cpu_are_not_asked_about_when_the_user_says_so(
    *, confirm: bool, changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    settings = Settings(confirm_cpu_jobs=confirm)
    options = with_cpu_jobs(from_settings(settings, tmp_path), settings)
    facts = PolicyContext(mode="ask", rules=settings_rules(options.permissions))
    assert verdict("jobs", {**JOB, **changes}, facts).kind == kind


@pytest.mark.parametrize(
    ("written", "given", "headless", "expected"),
    [
        (None, None, False, 300),
        (None, None, True, 3600),
        ("10m", None, True, 600),
        ("10m", "8h", False, 8 * 3600),
        (90, None, True, 90),
        ("10m", "0", True, 0),
    ],
)
def test_the_patience_comes_from_the_option_the_settings_or_the_mode(
    *, written: str | float | None, given: str | None, headless: bool, expected: float, tmp_path: Path
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"patience": written}))
    request = SessionRequest(headless=headless, settings_file=str(file), patience=given, sandbox=False, model="a/b")

    options = as_run_options(request, load_settings(request, tmp_path), tmp_path)

    assert options.patience_s == expected


def test_a_patience_that_is_no_duration_is_named(tmp_path: Path) -> None:
    request = SessionRequest(patience="long")

    with pytest.raises(UsageError, match=r"patience.*'long' is not a valid duration"):
        load_settings(request, tmp_path)
