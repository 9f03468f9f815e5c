"""A search that a session starts is a process of its own; what stops it is one line."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.search.listing import ask_search, latest_search
from ml_intern.search.starting import start_search


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))


def test_wrong_options_are_the_line_that_the_command_prints(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        asyncio.run(start_search(["x", "--metric", "accuracy", "--eval", "true", "-m", "scripted:none"], tmp_path))
    assert error.value.message == "the search did not start"
    assert "is not an objective" in str(error.value)


def test_a_folder_without_a_search_has_none_to_show_or_ask(tmp_path: Path) -> None:
    assert asyncio.run(latest_search(str(tmp_path))) is None
    with pytest.raises(UsageError, match="there is no search"):
        asyncio.run(ask_search(str(tmp_path), "pause"))


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_a_search_runs_on_by_itself(tmp_path: Path) -> None:
    (work := tmp_path / "work").mkdir()
    (work / "a.txt").write_text("a")
    (script := tmp_path / "script.yaml").write_text('[{"text": "none"}]')
    words = ["--metric", "max accuracy", "--eval", "echo accuracy 1.0", "-m", f"scripted:{script}"]
    line = asyncio.run(start_search(words, work))
    assert line.startswith(("ml-intern: search ", "search "))
    until = time.monotonic() + 120
    while True:
        found = asyncio.run(latest_search(str(work)))
        if found is not None and found.state == "finished":
            break
        assert time.monotonic() < until, found
        time.sleep(0.1)
    assert found.search_id in line
    with pytest.raises(UsageError, match="no process runs the search"):
        asyncio.run(ask_search(str(work), "pause"))
