"""Which Python a command runs."""

import json
from pathlib import Path

import pytest

from ml_intern.evidence.code.extract import notebook_outputs, notebook_source, read_source, scripts_of
from ml_intern.evidence.programs import programs_of


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
    found = [path for one in programs_of(command, folder) for path in scripts_of(one, folder) if Path(path).is_file()]
    assert list(dict.fromkeys(found)) == [str(folder / name) for name in names]


def test_a_notebook_is_its_code_cells_without_magics(folder: Path) -> None:
    ((notebook,),) = (scripts_of(one, folder) for one in programs_of("papermill a.ipynb out.ipynb", folder))
    assert read_source(Path(notebook)) == "pass\nx = 1\npass\n\nprint(x)"
    assert notebook_source("[1]") == ""
    assert notebook_source("{") == ""


def test_the_outputs_of_a_notebook_are_what_its_cells_printed() -> None:
    stream = {"output_type": "stream", "text": ["accuracy ", "0.8125\n"]}
    shown = {"output_type": "execute_result", "data": {"text/plain": "0.25"}}
    cells = [{"cell_type": "code", "source": "loss = 0.5", "outputs": [stream, shown]}]
    assert notebook_outputs(json.dumps({"cells": cells})) == "accuracy 0.8125\n\n0.25"
    assert notebook_outputs("[1]") == ""
