"""The programs and the notebook in examples/ do what they say, with a scripted model."""

import ast
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path_factory.mktemp("h") / "home"))
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(settings))
    monkeypatch.syspath_prepend(str(ROOT))
    (folder := tmp_path / "work").mkdir()
    return folder


def scripted(folder: Path, *steps: dict[str, Any]) -> str:
    path = folder.parent / "script.yaml"
    path.write_text(yaml.safe_dump(list(steps)))
    return f"scripted:{path}"


WRITE = {"tool_calls": [{"name": "write", "args": {"path": "accuracy.txt", "content": "0.75"}}]}


@pytest.mark.parametrize("name", ["subgraph", "extra_node"])
async def test_a_graph_with_ml_intern_in_it(work: Path, name: str) -> None:
    answer = await importlib.import_module(name).run(scripted(work, WRITE, {"text": "done"}), str(work), "go")
    assert answer == "done"
    assert (work / "accuracy.txt").read_text() == "0.75"


async def test_the_notebook(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call = {"tool_calls": [{"name": "accuracy_of", "args": {"run": "baseline"}}]}
    monkeypatch.setenv("MODEL", scripted(work, call, WRITE, {"text": "saved"}, {"text": '{"accuracy": 0.75}'}))
    monkeypatch.setenv("WORK", str(work))
    names: dict[str, Any] = {}
    for cell in json.loads((ROOT / "python_api.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            done = eval(code, names)
            if inspect.iscoroutine(done):
                await done
    assert names["asked"] == ["write"]
    shown = capsys.readouterr().out
    assert "calls accuracy_of" in shown
    assert "saved" in shown
    assert "accuracy=0.75" in shown
