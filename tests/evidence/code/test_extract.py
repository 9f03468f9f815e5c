"""Which Python a command runs."""

import json
from pathlib import Path

import pytest

from ml_intern.evidence.code.extract import INLINE, notebook_source, python_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "run.py").write_text("print(2)\n")
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "x = 1\n", "!pip list"]},
        {"cell_type": "code", "source": "%%bash\nls"},
        {"cell_type": "code", "source": "print(x)"},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("python train.py --lr 1e-3", ["train.py"]),
        ("/venv/bin/python3.12 -u train.py | tee log.txt", ["train.py"]),
        ("cd src && python run.py && python run.py", ["src/run.py"]),
        ("CUDA_VISIBLE_DEVICES=0 timeout 60 uv run python train.py", ["train.py"]),
        ("accelerate launch --num_processes 2 train.py --epochs 3", ["train.py"]),
        ("python -m src.run", ["src/run.py"]),
        ("python < train.py", ["train.py"]),
        ("bash -c 'python train.py'", ["train.py"]),
        ("jupyter nbconvert --execute a.ipynb", ["a.ipynb"]),
        ("python missing.py; ls; cat train.py", []),
        ("grep -r fit train.py", []),
    ],
)
def test_files_that_run_are_read(folder: Path, command: str, names: list[str]) -> None:
    assert [name for _, name in python_sources(command, folder)] == names


@pytest.mark.parametrize(
    "command", ["python -c 'print(3)'", "python - <<'EOF'\nprint(3)\nEOF", "python3 <<EOF\nprint(3)\nEOF"]
)
def test_code_in_the_command_is_returned(folder: Path, command: str) -> None:
    ((source, name),) = python_sources(command, folder)
    assert (source.strip(), name) == ("print(3)", INLINE)


def test_a_notebook_is_its_code_cells_without_magics(folder: Path) -> None:
    ((source, _),) = python_sources("papermill a.ipynb out.ipynb", folder)
    assert source == "pass\nx = 1\npass\n\nprint(x)"
    assert notebook_source("[1]") == ""
    assert notebook_source("{") == ""
