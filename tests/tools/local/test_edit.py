"""The edit tool changes exactly the given text and no other byte."""

import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_intern.tools.local.diffs import diff
from tests.execution.conftest import Bench


async def edited(bench: Bench, content: str | bytes, old: str, new: str, **more: bool) -> tuple[bytes, str]:
    path = bench.file("a.py", content)
    await bench.run("read", path="a.py")
    result = await bench.run("edit", path="a.py", old=old, new=new, **more)
    return path.read_bytes(), result.text


async def test_only_the_given_text_changes_and_a_diff_is_shown(bench: Bench) -> None:
    content, text = await edited(bench, "a = 1\nb = 2\nc = 3\n", "b = 2", "b = 20")
    assert content == b"a = 1\nb = 20\nc = 3\n"
    assert text == "Edited a.py.\n--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n a = 1\n-b = 2\n+b = 20\n c = 3"


async def test_indentation_is_preserved(bench: Bench) -> None:
    source = "class A:\n\tdef f(self):\n\t\treturn 1\n"
    content, _ = await edited(bench, source, "\t\treturn 1", "\t\tx = 1\n\t\treturn x")
    assert content == b"class A:\n\tdef f(self):\n\t\tx = 1\n\t\treturn x\n"


async def test_windows_line_endings_are_preserved(bench: Bench) -> None:
    content, _ = await edited(bench, b"one\r\ntwo\r\nthree\r\n", "one\ntwo", "1\n2\n2b")
    assert content == b"1\r\n2\r\n2b\r\nthree\r\n"


async def test_mixed_line_endings_around_the_change_are_preserved(bench: Bench) -> None:
    content, _ = await edited(bench, b"one\r\ntwo\r\nthree\nfour\n", "one\ntwo", "1\n2")
    assert content == b"1\r\n2\r\nthree\nfour\n"
    content, _ = await edited(bench, b"one\r\ntwo\r\nthree\nfour\n", "three\nfour", "3\n4")
    assert content == b"one\r\ntwo\r\n3\n4\n"


async def test_a_missing_final_newline_is_not_added(bench: Bench) -> None:
    content, _ = await edited(bench, "one\ntwo", "two", "2")
    assert content == b"one\n2"


async def test_bytes_that_are_not_utf8_are_preserved(bench: Bench) -> None:
    content, text = await edited(bench, b"# caf\xe9\nx = 1\n", "x = 1", "x = 2")
    assert content == b"# caf\xe9\nx = 2\n"
    assert "\ufffd" in text


async def test_a_byte_order_mark_is_preserved(bench: Bench) -> None:
    content, _ = await edited(bench, b"\xef\xbb\xbfx = 1\n", "x = 1", "x = 2")
    assert content == b"\xef\xbb\xbfx = 2\n"


async def test_an_ambiguous_text_is_refused_with_its_line_numbers(bench: Bench) -> None:
    content, text = await edited(bench, "x\ny\nx\n", "x", "z")
    assert content == b"x\ny\nx\n"
    assert "occurs 2 times in a.py, at lines 1, 3; include surrounding lines, or set replace_all" in text


async def test_replace_all_changes_every_occurrence(bench: Bench) -> None:
    content, text = await edited(bench, "x\ny\nx\n", "x", "z", replace_all=True)
    assert content == b"z\ny\nz\n"
    assert text.startswith("Edited a.py in 2 places.")


async def test_a_missing_text_is_answered_with_the_most_similar_one(bench: Bench) -> None:
    source = "import os\n\n\ndef train(model, data):\n    loss = model(data)\n    return loss\n"
    content, text = await edited(bench, source, "def train(model, dataset):\n    loss = model(dataset)", "pass")
    assert content == source.encode()
    assert text.endswith("The most similar text:\n     4\tdef train(model, data):\n     5\t    loss = model(data)")


async def test_a_text_that_differs_only_in_whitespace_is_reported_as_such(bench: Bench) -> None:
    _, text = await edited(bench, "def f():\n    return 1\n", "def f():\n  return 1", "pass")
    assert "The most similar text differs only in whitespace:\n     1\tdef f():\n     2\t    return 1" in text


async def test_no_similar_text_is_reported(bench: Bench) -> None:
    _, text = await edited(bench, "1\n2\n", "completely different words", "x")
    assert "Nothing in the file is similar" in text


async def test_the_most_similar_text_of_a_large_file_is_found(bench: Bench) -> None:
    source = "".join(f"value_{n} = compute({n})\n" for n in range(50_000))
    _, text = await edited(bench, source, "valeu_30000 = compute(30000)", "x")
    assert " 30001\tvalue_30000 = compute(30000)" in text


async def test_identical_old_and_new_texts_are_refused(bench: Bench) -> None:
    _, text = await edited(bench, "x\n", "x", "x")
    assert "old and new are the same" in text


async def test_an_unread_or_changed_file_is_not_edited(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    assert "read it first" in (await bench.run("edit", path="a", old="one", new="two")).text
    await bench.run("read", path="a")
    path.write_text("one, changed\n")
    assert "has changed since it was read" in (await bench.run("edit", path="a", old="one", new="two")).text
    assert path.read_text() == "one, changed\n"


async def test_several_edits_may_follow_one_read(bench: Bench) -> None:
    await bench.run("write", path="a", content="one\n")
    await bench.run("edit", path="a", old="one", new="two")
    assert (await bench.run("edit", path="a", old="two", new="three")).ok
    assert (bench.workspace / "a").read_text() == "three\n"


async def test_file_mode_and_symlink_are_preserved(bench: Bench) -> None:
    path = bench.file("run.sh", "echo 1\n")
    path.chmod(0o755)
    (bench.workspace / "link").symlink_to("run.sh")
    await bench.run("read", path="link")
    await bench.run("edit", path="link", old="1", new="2")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("echo 2\n", 0o755)
    assert (bench.workspace / "link").is_symlink()


async def test_a_missing_file_is_reported(bench: Bench) -> None:
    assert "there is no file nothing" in (await bench.run("edit", path="nothing", old="a", new="b")).text


@given(before=st.text("ab\r\n \té"), old=st.text("ab\n \té", min_size=1), new=st.text("ab\n é"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
async def test_every_byte_around_the_change_is_preserved(bench: Bench, before: str, old: str, new: str) -> None:
    whole = before + "<" + old + ">" + before
    if old == new or "\r" in before:
        return
    content, _ = await edited(bench, whole, f"<{old}>", new)
    assert content == (before + new + before).encode()


@pytest.mark.parametrize("lines", [10, 5_000])
def test_a_diff_deep_in_a_file_has_the_right_line_numbers(lines: int) -> None:
    text = "".join(f"{n}\n" for n in range(1, lines + 1))
    middle = lines // 2
    changed = text.replace(f"\n{middle}\n", "\nnew\n")
    assert diff(text, changed, "a").splitlines()[2] == f"@@ -{middle - 2},5 +{middle - 2},5 @@"
