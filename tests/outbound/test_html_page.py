"""The HTML export: safe, readable on its own, and without paths of this machine."""

import base64
import os
import re
from pathlib import Path

import pytest

from ml_intern.outbound.conversation import Call, Conversation, Message, TurnEnding
from ml_intern.outbound.exporting.formats import export_conversation
from tests.outbound.conversations import hostile, two_turns
from tests.outbound.page import LOADING, Page

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def page_of(*calls: tuple[Call, str], ok: bool = True, reply: str = "", folder: Path | None = None) -> str:
    """The page of a thread with these calls and their results."""
    results = [Message("tool", text, call_id=call.id, name=call.name, ok=ok) for call, text in calls]
    messages = (Message("user", "go"), Message("assistant", reply, "m", tuple(call for call, _ in calls)), *results)
    whole = Conversation("t", messages, folder=str(folder or ""), created=1.0)
    return export_conversation(whole, "html")


def test_the_html_page_of_a_hostile_thread_loads_and_runs_nothing() -> None:
    page = Page(export_conversation(hostile(), "html"))
    assert page.open == []
    assert LOADING.isdisjoint({tag for tag, _ in page.tags})
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        assert not str(attributes.get("href", "")).lower().startswith(("javascript:", "data:", "vbscript:"))
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/")
    (policy,) = [str(found["content"]) for tag, found in page.tags if "http-equiv" in found]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_the_html_page_supports_dark_mode_and_renders_replies() -> None:
    text = export_conversation(two_turns(), "html")
    assert "prefers-color-scheme: dark" in text
    assert "<strong>42</strong>" in text
    assert 'class="failed"' in text
    assert re.search(r"url\(|@import|http://|https://", text) is None


def test_the_hostile_page_keeps_its_anchors_and_every_text() -> None:
    text = export_conversation(hostile(), "html")
    page = Page(text)
    anchors = {str(found["id"]) for _, found in page.tags if "id" in found}
    assert anchors == {"plan", "turn-1", "turn-2"}
    links = {str(found["href"]) for _, found in page.tags if "href" in found}
    assert links == {*(f"#{name}" for name in anchors), "https://evil.example/p.png"}
    assert page.text.count("<script>alert(1)</script>") > 40


def test_the_table_of_contents_leads_to_every_message_of_the_user() -> None:
    page = Page(export_conversation(two_turns(), "html"))
    links = [str(found["href"])[1:] for tag, found in page.tags if tag == "a"]
    assert links == ["plan", "turn-1", "turn-2"]
    assert set(links) <= {str(found.get("id")) for tag, found in page.tags if tag == "section"}


def test_an_edit_is_shown_as_a_coloured_diff_and_its_arguments_are_not_repeated() -> None:
    diff = "Edited a.py.\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2"
    text = page_of((Call("e", "edit", {"path": "a.py", "old": "x = 1", "new": "x = 2"}), diff))
    assert '<span class="gd">-x = 1</span>\n<span class="gi">+x = 2</span>' in text
    assert Page(text).text.count("x = 2") == 1
    assert "<details open><summary><b>edit</b> a.py" in text


def test_code_is_coloured_by_its_language() -> None:
    command = Call("b", "bash", {"command": "for f in *; do\n  echo $f\ndone"})
    written = Call("w", "write", {"path": "a.py", "content": "import os\n\nprint(os.name)\n"})
    text = page_of(
        (command, ""), (written, "Created a.py."), reply="```python\nreturn 1\n```\n\n```none\nreturn 2\n```"
    )
    assert '<span class="k">for</span>' in text
    assert '<span class="kn">import</span>' in text
    assert '<pre class="code"><code><span class="k">return</span>' in text
    assert "<code>return 2" in text


def test_what_was_read_is_folded_and_numbered_and_a_failed_read_is_not_folded() -> None:
    result = (Call("c", "read", {"path": "a.py"}), "     7\timport os\n     8\t\n     9\t")
    text = page_of(result)
    assert "<details><summary><b>read" in text
    assert '<span class="ln">    7</span> <span class="kn">import</span>' in text
    assert '<span class="ln">    9</span> ' in text
    assert '<details class="failed" open><summary><b>read' in page_of(result, ok=False)
    assert "<details open><summary><b>bash" in page_of((Call("c", "bash", {"command": "ls"}), "a.py"))


def test_the_plan_is_one_checklist_and_its_updates_are_one_line_each() -> None:
    calls = [
        Call(str(place), "plan", {"steps": [{"text": "look", "status": status}, {"text": "train"}]})
        for place, status in enumerate(("in_progress", "done"))
    ]
    text = page_of(*((call, "Plan:") for call in calls))
    plan = text[text.index('id="plan"') :].partition("</section>")[0]
    assert re.findall(r'<li class="(\w+)">', plan) == ["done", "pending"]
    assert re.findall(r"<details><summary><b>plan</b> ([^<]+) <", text) == ["0 of 2 steps done", "1 of 2 steps done"]
    assert "{" not in Page(text).text.partition("CONTENTS")[2]
    assert "steps" not in re.findall(r"<dt>([^<]*)</dt>", text)


def test_arguments_are_shown_in_words() -> None:
    args = {"timeout": 5, "force": True, "dry": False, "env": {"SEED": "1"}, "args": ["--lr", "1e-4"], "image": None}
    text = page_of((Call("j", "jobs", args), "done"))
    body = text[text.index("<main>") :]
    assert "<dt>force</dt><dd>yes</dd><dt>dry</dt><dd>no</dd>" in body
    assert '<dt>env</dt><dd><dl class="args"><dt>SEED</dt><dd>1</dd></dl></dd>' in body
    assert "<dt>args</dt><dd><ul><li>--lr</li><li>1e-4</li></ul></dd><dt>image</dt><dd>none</dd>" in body
    assert not {"{", "[", "&quot;"} & set(re.findall(r"\{|\[|&quot;", body))


def test_images_of_results_and_images_the_thread_made_are_embedded(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots/loss.png").write_bytes(PNG)
    (folder / "notes.png").write_text("not an image")
    (folder / "older.png").write_bytes(PNG)
    os.utime(folder / "older.png", (0.5, 0.5))
    (tmp_path / "private.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "private.png")
    call = Call("b", "bash", {"command": f"plot {folder}/plots/loss.png notes.png older.png link.png ../private.png"})
    page = Page(page_of((call, f"saved {tmp_path}/private.png"), folder=folder))
    images = [(found["alt"], found["src"]) for tag, found in page.tags if tag == "img"]
    assert images == [("plots/loss.png", f"data:image/png;base64,{base64.b64encode(PNG).decode()}")]
    shown = Message("tool", "an image", call_id="r", images=(str(images[0][1]),))
    whole = Conversation("t", (Message("assistant", "", "m", (Call("r", "read", {"path": "a.png"}),)), shown))
    assert [tag for tag, _ in Page(export_conversation(whole, "html")).tags].count("img") == 1


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_a_shared_document_has_no_path_of_this_machine_outside_the_workspace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = tmp_path / "ada", tmp_path / "ada/work"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ML_INTERN_HOME", str(home / ".data"))
    texts = [
        f"{folder}/src/a.py", f"in {folder}.", f"file://{home}/x/b.log", f"-I{home}/include",
        f"PATH={home}/bin:/usr/bin", f"log: {home}/.data/runs/log.txt", f"'{tmp_path}/other/c.txt'", str(home), "https://example.com/home/api",
    ]  # fmt: skip
    call = Call("c", "bash", {"command": f"cd {folder} && cat {home}/secret/d.txt", "deep": [{"at": str(home)}]})
    messages = (
        Message("user", f"look at {home}/e.txt"),
        Message("assistant", "\n".join(texts), "m", (call,), f"{home}/f.txt"),
        Message("tool", f"{folder}/g.txt", call_id="c"),
    )
    ending = {0: TurnEnding("failed", f"{home}/h.txt", 1, 1)}
    model = f"scripted:{home}/j.yaml"
    whole = Conversation("t", messages, title=f"{home}/i", folder=str(folder), endings=ending, model=model)
    shown = export_conversation(whole, name)
    assert str(tmp_path) not in shown
    assert "ada" not in shown
    for kept in ("src/a.py", "…/b.log", "/usr/bin", "…/log.txt", "…/c.txt", "https://example.com/home/api", "…/d.txt"):
        assert kept in shown


def test_a_turn_that_did_not_end_well_says_how() -> None:
    messages = (Message("user", "go", turn=1), Message("assistant", "", "m"))
    whole = Conversation("t", messages, endings={1: TurnEnding("limit", "the budget is used up", 124, 3)})
    assert "Turn ended: limit: the budget is used up" in export_conversation(whole, "html")
