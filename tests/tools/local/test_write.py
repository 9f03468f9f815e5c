"""The write tool writes whole files and never overwrites content the model has not read."""

import os
import stat
from pathlib import Path

import pytest

from tests.execution.conftest import Bench


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_new_file_is_created_with_its_folders(bench: Bench) -> None:
    result = await bench.run("write", path="src/pkg/a.py", content="x = 1\n")
    assert result.text == "Created src/pkg/a.py: 1 line, 6 bytes."
    assert (bench.workspace / "src/pkg/a.py").read_bytes() == b"x = 1\n"


async def test_a_new_file_has_the_default_mode(bench: Bench) -> None:
    plain = bench.file("plain", "")
    await bench.run("write", path="new", content="")
    assert mode(bench.workspace / "new") == mode(plain)


async def test_an_unread_file_is_not_replaced(bench: Bench) -> None:
    path = bench.file("a", "precious\n")
    result = await bench.run("write", path="a", content="gone\n")
    assert result.text == "error: a exists but was not read in this thread; read it first"
    assert path.read_text() == "precious\n"


async def test_a_file_that_changed_since_it_was_read_is_not_replaced(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    await bench.run("read", path="a")
    path.write_text("two\n")
    result = await bench.run("write", path="a", content="three\n")
    assert result.text == "error: a has changed since it was read; read it again"
    assert path.read_text() == "two\n"


async def test_a_replacement_shows_the_diff(bench: Bench) -> None:
    bench.file("a", "one\ntwo\nthree\n")
    await bench.run("read", path="a")
    result = await bench.run("write", path="a", content="one\n2\nthree\n")
    assert result.text == "Replaced a.\n--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three"


async def test_a_written_file_may_be_written_again(bench: Bench) -> None:
    await bench.run("write", path="a", content="one\n")
    again = await bench.run("write", path="a", content="one\n")
    assert again.text == "Replaced a.\nThe content is unchanged."


@pytest.mark.parametrize("bits", [0o755, 0o644, 0o600, 0o664])
async def test_the_mode_is_preserved(bench: Bench, bits: int) -> None:
    path = bench.file("run.sh", "#!/bin/sh\n")
    path.chmod(bits)
    await bench.run("read", path="run.sh")
    await bench.run("write", path="run.sh", content="#!/bin/bash\n")
    assert mode(path) == bits


async def test_the_owner_is_preserved(bench: Bench) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may have files of others")
    path = bench.file("a", "one\n")
    os.chown(path, 1234, 1234)
    await bench.run("read", path="a")
    await bench.run("write", path="a", content="two\n")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)


async def test_writing_to_a_symlink_writes_its_target(bench: Bench) -> None:
    target = bench.file("real", "one\n")
    link = bench.workspace / "link"
    link.symlink_to("real")
    await bench.run("read", path="link")
    await bench.run("write", path="link", content="two\n")
    assert link.is_symlink()
    assert target.read_text() == "two\n"


@pytest.mark.parametrize("path", ["../a", "out/a", "dangling"])
async def test_nothing_is_written_outside_the_workspace(bench: Bench, tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").mkdir()
    (bench.workspace / "out").symlink_to(tmp_path / "outside")
    (bench.workspace / "dangling").symlink_to(tmp_path / "outside" / "new")
    result = await bench.run("write", path=path, content="x")
    assert "path outside the workspace" in result.text
    assert list((tmp_path / "outside").iterdir()) == []


async def test_artifacts_can_be_read_but_not_written(bench: Bench) -> None:
    result = await bench.run("write", path=str(bench.context().artifact_folder / "a.txt"), content="x")
    assert "belongs to ml-intern itself" in result.text


async def test_a_folder_is_not_replaced(bench: Bench) -> None:
    bench.file("src/a", "")
    assert "src is a folder, not a file" in (await bench.run("write", path="src", content="x")).text


async def test_a_file_in_place_of_a_folder_is_reported(bench: Bench) -> None:
    bench.file("a", "")
    assert "cannot write a/b" in (await bench.run("write", path="a/b", content="x")).text


async def test_a_change_of_line_endings_is_reported(bench: Bench) -> None:
    bench.file("a", "one\r\ntwo\r\n")
    await bench.run("read", path="a")
    result = await bench.run("write", path="a", content="one\ntwo\n")
    assert "Line endings changed: CRLF to LF." in result.text


async def test_no_temporary_file_is_left(bench: Bench) -> None:
    bench.file("a", "one\n")
    await bench.run("read", path="a")
    await bench.run("write", path="a", content="two\n")
    await bench.run("write", path="b", content="two\n")
    assert sorted(path.name for path in bench.workspace.iterdir()) == ["a", "b"]


async def test_a_large_rewrite_is_summed_up_in_one_line_at_once(bench: Bench) -> None:
    bench.file("a", "".join(f"old {n % 7}\n" for n in range(100_000)))
    await bench.run("read", path="a")
    result = await bench.run("write", path="a", content="".join(f"new {n % 5}\n" for n in range(100_000)))
    assert result.text == "Replaced a.\n100,000 lines replaced by 100,000."


async def test_a_long_diff_is_cut(bench: Bench) -> None:
    bench.file("a", "".join(f"old {n}\n" for n in range(2_000)))
    await bench.run("read", path="a")
    result = await bench.run("write", path="a", content="".join(f"new {n}\n" for n in range(2_000)))
    assert len(result.text) < 7_000
    assert result.text.endswith("more lines")
