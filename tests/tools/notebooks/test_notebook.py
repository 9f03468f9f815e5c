"""Notebooks are read, changed and run by cells, and stay valid files of the format."""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run import judge
from ml_intern.terminal.render.preview import preview, preview_text
from tests.execution.conftest import Bench

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()


def notebook(*cells: dict[str, Any]) -> str:
    whole = nbformat.v4.new_notebook(cells=[nbformat.from_dict(cell) for cell in cells])  # type: ignore[no-untyped-call]
    return str(nbformat.writes(whole))  # type: ignore[no-untyped-call]


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))  # type: ignore[no-untyped-call]
    return dict(cell)


def text(source: str) -> dict[str, Any]:
    return dict(nbformat.v4.new_markdown_cell(source))  # type: ignore[no-untyped-call]


def printed(words: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": words}


def cells_of(path: Path) -> list[Any]:
    """The cells of a file, which has to be valid."""
    whole = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(whole)
    return list(whole.cells)


async def test_read_shows_cells_with_shortened_outputs_instead_of_json(bench: Bench) -> None:
    image = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PIXEL, "text/plain": "<Figure>"}}
    bench.file("a.ipynb", notebook(text("# Title"), code("print(1)", printed("1\n" * 9_000)), code("plot()", image)))
    shown = (await bench.run("read", path="a.ipynb")).text
    assert shown.startswith("[cell 1: markdown]\n# Title\n\n[cell 2: code]\nprint(1)\n[output]\n1\n")
    assert "characters left out" in shown
    assert "<Figure>\n(image/png, 30 bytes)" in shown
    assert PIXEL not in shown
    assert len(shown) < 5_000
    part = (await bench.run("read", path="a.ipynb", offset=2, limit=1)).text
    assert part.startswith("# Title\n[lines 2 to 2 of ")
    bench.model = f"scripted:{bench.file('script.yaml', '- text: words')}"
    one = await bench.run("notebook", operation="read", path="a.ipynb", cell=3)
    assert one.images == (f"data:image/png;base64,{PIXEL}",)


async def test_cells_are_inserted_replaced_and_deleted_with_a_diff(bench: Bench) -> None:
    path = bench.file("a.ipynb", notebook(text("# Title"), code("x = 1", printed("old\n"))))
    unread = await bench.run("notebook", operation="delete", path="a.ipynb", cell=1)
    assert "read it first" in unread.text
    await bench.run("read", path="a.ipynb")
    inserted = await bench.run("notebook", operation="insert", path="a.ipynb", cell=2, source="import os\nos.getcwd()")
    assert "+import os\n+os.getcwd()" in inserted.text
    changed = await bench.run("notebook", operation="edit", path="a.ipynb", cell=3, source="x = 2")
    assert "-x = 1\n+x = 2" in changed.text
    await bench.run("notebook", operation="delete", path="a.ipynb", cell=1)
    added = await bench.run("notebook", operation="insert", path="a.ipynb", source="Done.", kind="markdown")
    assert added.ok
    found = cells_of(path)
    assert [(cell.cell_type, cell.source) for cell in found] == [
        ("code", "import os\nos.getcwd()"), ("code", "x = 2"), ("markdown", "Done."),
    ]  # fmt: skip
    assert found[1].outputs == []
    assert "name one of them" in (await bench.run("notebook", operation="delete", path="a.ipynb", cell=9)).text


async def test_a_new_notebook_begins_with_the_first_cell_and_other_files_are_refused(bench: Bench) -> None:
    made = await bench.run("notebook", operation="insert", path="new.ipynb", source="1 + 1")
    assert made.ok, made.text
    assert [cell.source for cell in cells_of(bench.workspace / "new.ipynb")] == ["1 + 1"]
    refused = await bench.run("notebook", operation="insert", path="a.py", source="1 + 1")
    assert "does not end in .ipynb" in refused.text
    bench.file("bad.ipynb", '{"worksheets": []}')
    assert "worksheets" in (await bench.run("read", path="bad.ipynb")).text
    assert "convert it to format 4" in (await bench.run("notebook", operation="read", path="bad.ipynb", cell=1)).text


async def test_edit_replaces_a_text_within_cells(bench: Bench) -> None:
    path = bench.file("a.ipynb", notebook(code('print("a")\nx = "b"', printed("a\n")), code("y = 1")))
    await bench.run("read", path="a.ipynb")
    done = await bench.run("edit", path="a.ipynb", old='print("a")\nx', new='print("c")\nz')
    assert done.ok, done.text
    assert '-print("a")' in done.text
    assert [cell.source for cell in cells_of(path)] == ['print("c")\nz = "b"', "y = 1"]
    missing = await bench.run("edit", path="a.ipynb", old="cell_type", new="kind")
    assert "is not in a.ipynb" in missing.text


async def ran(bench: Bench, *cells: dict[str, Any], **args: Any) -> ToolResult:
    bench.model = f"scripted:{bench.file('script.yaml', '- text: words')}"
    bench.file("sub/a.ipynb", notebook(*cells))
    await bench.run("read", path="sub/a.ipynb")
    return await bench.run("notebook", operation="run", path="sub/a.ipynb", **args)


async def test_a_run_saves_the_outputs_and_stops_at_an_error(bench: Bench) -> None:
    image = f"from IPython.display import Image, display; import base64; display(Image(base64.b64decode('{PIXEL}')))"
    cells = [
        code("import os; n = 20"),
        text("words"),
        code("print(n + 1); os.getcwd()"),
        code(image),
        code("1 / 0"),
        code("n"),
    ]
    done = await ran(bench, *cells)
    assert not done.ok
    assert "[cell 3]\n21\n" in done.text
    assert "ZeroDivisionError" in done.text
    assert "[cell 6]" not in done.text
    assert done.images == (f"data:image/png;base64,{PIXEL}",)
    found = cells_of(bench.workspace / "sub/a.ipynb")
    assert found[2].outputs[0].text == "21\n"
    assert found[2].outputs[1].data["text/plain"] == repr(str(bench.workspace / "sub"))
    assert found[4].outputs[0].ename == "ZeroDivisionError"
    assert "21" in str(bench.sent("tool_log"))
    again = await bench.run("notebook", operation="run", path="sub/a.ipynb", cell=3)
    assert again.ok, again.text


async def test_a_run_that_takes_too_long_is_stopped_and_what_it_printed_is_saved(bench: Bench) -> None:
    done = await ran(bench, code("print('begun')"), code("import time; time.sleep(600)"), timeout=5)
    assert not done.ok
    assert "time limit" in done.text
    assert cells_of(bench.workspace / "sub/a.ipynb")[0].outputs[0].text == "begun\n"


async def test_only_python_is_run_and_only_a_notebook_that_was_read(bench: Bench) -> None:
    other = json.loads(notebook(code("1")))
    other["metadata"] = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    bench.file("r.ipynb", json.dumps(other))
    assert "was not read" in (await bench.run("notebook", operation="run", path="r.ipynb")).text
    await bench.run("read", path="r.ipynb")
    assert "written in R" in (await bench.run("notebook", operation="run", path="r.ipynb")).text


@pytest.mark.parametrize("sandbox_missing", [False, True])
async def test_a_run_without_a_sandbox_needs_approval_unattended(bench: Bench, *, sandbox_missing: bool) -> None:
    call = bench.call("notebook", {"operation": "run", "path": "a.ipynb"})
    context = bench.context()
    options = dataclasses.replace(context.options, sandbox_missing=sandbox_missing)
    found = await judge(call, dataclasses.replace(context, options=options))
    assert found.kind == ("ask" if sandbox_missing else "allow")


def test_an_approval_shows_the_cells_that_change(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(notebook(code("x = 1"), code("y = 1")))
    args = {"operation": "edit", "path": "a.ipynb", "cell": 2, "source": "y = 2"}
    shown = preview_text(preview("notebook", args, tmp_path))
    assert "-y = 1\n+y = 2" in shown
    assert "cell_type" not in shown
    assert "-x = 1\n+x = 3" in preview_text(
        preview("edit", {"path": "a.ipynb", "old": "x = 1", "new": "x = 3"}, tmp_path)
    )
