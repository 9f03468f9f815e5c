"""A folder for labs, in memory where there is one: what is tested is the order of writes, not the disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.counts import SOAK
from tests.session.conftest import Lab

MEMORY = Path("/dev/shm")
NORMAL_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(0 if SOAK else NORMAL_SECONDS))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="ml-intern-faults-", dir=MEMORY) as path:
        yield Path(path)


@pytest.fixture
def lab(folder: Path) -> Lab:
    (folder / "workspace").mkdir()
    return Lab(folder / "home", folder / "workspace")
