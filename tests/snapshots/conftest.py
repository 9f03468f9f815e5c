"""Sessions with workspaces."""

from pathlib import Path

import pytest

from tests.session.conftest import lab
from tests.snapshots.workspace import Workspace

__all__ = ["lab"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work", tmp_path / "home")
