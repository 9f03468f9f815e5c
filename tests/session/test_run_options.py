"""What the settings say of a run."""

from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.settings import Settings
from ml_intern.execution.policy_inputs import settings_rules
from ml_intern.safety.policy import PolicyContext, verdict
from ml_intern.session.opening.options import from_settings, with_cpu_jobs

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
