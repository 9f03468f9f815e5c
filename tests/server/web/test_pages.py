"""The pages of the web interface: a thread started, asked, answered and read, with hostile texts in every field."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ml_intern.outbound.exporting.formats import FORMATS
from ml_intern.server.web.pages.thread import PANELS
from tests.server.web.conftest import Web

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><hx-partial hx-target=body>"
WRITE: dict[str, Any] = {"name": "write", "args": {"path": "made.txt", "content": "made\n"}}


def ids_of(page: str) -> dict[str, str]:
    """The hidden fields by which the form of a question names its requests."""
    ids = dict(re.findall(r'name="(id\.\d+)" value="([^"]+)"', page))
    assert ids, "the page shows no question"
    return ids


def test_a_thread_is_started_asks_is_answered_and_goes_on(web: Web) -> None:
    thread = web.start({"text": "I write.", "tool_calls": [WRITE]}, {"text": "All **done**."}, {"text": "More."})
    page = web.until(thread, "May I do this?")
    assert "needs your answer" in page
    assert "made.txt" in page
    listed = web.client.get("/rows").text
    assert "Needs your answer" in listed
    assert "write made.txt" in listed
    assert web.do(thread, do="answer", all="approve", **ids_of(page)).status_code == 200
    page = web.until(thread, "All <strong>done</strong>.")
    assert (web.root / "work" / "made.txt").read_text() == "made\n"
    late = web.do(thread, do="answer", all="approve", **ids_of('name="id.0" value="x"'))
    assert late.status_code == 409
    assert "the last one was answered from the web page (python-httpx)" in late.text
    assert web.do(thread, do="say", text="again").status_code == 200
    assert "again" in web.until(thread, "More.")


def test_a_rejection_carries_its_reason_and_edited_arguments_run_instead(web: Web) -> None:
    second = {"name": "write", "args": {"path": "second.txt", "content": "made\n"}}
    thread = web.start({"tool_calls": [WRITE]}, {"tool_calls": [second]}, {"text": "ok"}, folder="edited")
    page = web.until(thread, "May I do this?")
    web.do(thread, do="answer", all="reject", **{"reason.0": "use another name"}, **ids_of(page))
    page = web.until(thread, lambda page: "second.txt" in page and "May I do this?" in page)
    wrong = web.do(thread, do="answer", all="approve", **{"was.0": "{}", "args.0": "{"}, **ids_of(page))
    assert "not valid JSON" in wrong.text
    changed = {"was.0": "{}", "args.0": '{"path": "other.txt", "content": "changed"}'}
    web.do(thread, do="answer", all="approve", **changed, **ids_of(page))
    web.until(thread, lambda page: "idle" in page)
    assert (web.root / "edited" / "other.txt").read_text() == "changed"
    assert [path.name for path in (web.root / "edited").iterdir()] == ["other.txt"]


def test_an_approval_shows_what_changes_in_the_file(web: Web) -> None:
    (folder := web.root / "differs").mkdir()
    (folder / "a.txt").write_text("one\ntwo\nthree\n")
    edit = {"name": "edit", "args": {"path": "a.txt", "old": "two", "new": "<b>2</b>"}}
    read = {"name": "read", "args": {"path": "a.txt"}}
    thread = web.start({"tool_calls": [read]}, {"tool_calls": [edit]}, {"text": "ok"}, folder="differs")
    page = web.until(thread, "May I do this?")
    shown = re.sub("<[^>]+>", "", page.partition("May I do this?")[2])
    assert " one\n-two\n+&lt;b&gt;2&lt;/b&gt;\n three" in shown


class Tags(HTMLParser):
    """The elements of a page and the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(f"{tag} src" if tag == "script" and dict(attrs).get("src") else tag)
        self.attributes |= {name for name, _ in attrs}


def hostile_elements(page: str) -> set[str]:
    """What only the hostile text can have put into a page."""
    seen = Tags(page)
    handlers = {name for name in seen.attributes if name.startswith("on") or name == "style"}
    return seen.tags & {"script", "img", "style", "hx-partial", "iframe"} | handlers


def test_no_text_of_a_thread_becomes_html(web: Web) -> None:
    assert hostile_elements(EVIL) == {"script", "img", "onerror", "hx-partial"}
    plan = {"name": "plan", "args": {"steps": [{"text": EVIL, "status": "done"}]}}
    call = {"name": "write", "args": {"path": f"{EVIL.replace('/', '')}.txt", "content": EVIL}}
    steps = ({"text": EVIL, "tool_calls": [plan]}, {"text": EVIL, "tool_calls": [call]}, {"text": EVIL})
    thread = web.start(*steps, text=EVIL)
    page = web.until(thread, "May I do this?")
    web.do(thread, do="say", text=f"queued {EVIL}")
    pages = [page, web.page(thread), web.client.get("/").text, web.client.get("/rows").text]
    assert [hostile_elements(text) for text in pages] == [set()] * 4
    assert [text.count("alert(1)") > 0 for text in pages] == [True] * 4


def test_only_the_exact_id_of_a_thread_opens_it(web: Web) -> None:
    thread = web.start({"text": "hello"}, text="findable title")
    for id in (thread[:8], "findable%20title", "..%2F..%2Fetc%2Fpasswd", "x" * 5000, "%00", thread.upper()):
        reply = web.client.get(f"/t/{id}")
        assert (reply.status_code, "hello" in reply.text) == (404, False), id
    for name in ("..%2Faccess.py", "%2e%2e/access.py", "web.js", "SHA384SUMS"):
        assert web.client.get(f"/static/{name}").status_code == 404


def test_static_files_are_hashed_and_htmx_is_the_one_that_was_checked(web: Web) -> None:
    import hashlib

    import ml_intern.server.web as package

    folder = Path(package.__file__).parent / "static"
    for line in (folder / "SHA384SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha384((folder / name).read_bytes()).hexdigest() == digest, name
    page = web.client.get("/").text
    found = re.findall(r'(?:src|href)="(/static/[^"]+|/manifest[^"]+)"', page)
    assert len(found) == 7
    for path in found:
        assert web.client.get(path).status_code == 200, path
    assert not re.search(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?!/)", page)
    assert hostile_elements(page) == set()


def test_the_panels_show_runs_files_evidence_and_turns(web: Web) -> None:
    lines = "; ".join(f"print('step {n} loss={1 / n:.3f}')" for n in range(1, 9))
    run = {"name": "bash", "args": {"command": f'python3 -c "{lines}"', "background": True}}
    steps = ({"tool_calls": [WRITE]}, {"tool_calls": [run]}, *({"text": "the <b>run</b>"},) * 3)
    thread = web.start(*steps, text="train", folder="panels")
    web.do(thread, do="answer", all="approve", **ids_of(web.until(thread, "May I do this?")))
    page = web.until(thread, lambda page: "python3 -c" in page and ("May I do this?" in page or "the &lt;b" in page))
    if "May I do this?" in page:
        web.do(thread, do="answer", all="approve", **ids_of(page))
    web.until(thread, lambda _: "succeeded" in web.client.get(f"/t/{thread}/panel/runs").text)
    panels = {name: web.client.get(f"/t/{thread}/panel/{name}").text for name in PANELS}
    assert "<polyline points=" in panels["runs"]
    assert "loss: 1 to 0.125" in panels["runs"]
    assert "made.txt" in panels["files"]
    assert "Undo to before this" in panels["history"]
    assert [hostile_elements(text) for text in panels.values()] == [set()] * 4
    assert web.client.get(f"/t/{thread}/panel/other").status_code == 404


def test_undo_and_fork_show_their_effect_first_and_redo_brings_it_back(web: Web) -> None:
    thread = web.start({"text": "one"}, {"tool_calls": [WRITE]}, {"text": "two"}, text="first", folder="undo")
    web.until(thread, "<p>one</p>")
    web.do(thread, do="say", text="second")
    web.do(thread, do="answer", all="approve", **ids_of(web.until(thread, "May I do this?")))
    web.until(thread, lambda page: "<p>two</p>" in page and "idle" in page)
    made = web.root / "undo" / "made.txt"
    preview = web.client.get(f"/t/{thread}/preview?do=undo&turns=1").text
    assert "made.txt</code> is removed" in preview
    assert made.exists()
    assert "end of turn 1: first" in web.client.get(f"/t/{thread}/preview?do=fork&turn=1").text
    copy = web.client.post(f"/t/{thread}/fork", data={"turn": "1"}).headers["hx-redirect"]
    assert "<p>two</p>" not in web.client.get(copy).text
    assert web.do(thread, do="undo", turns="1").status_code == 200
    web.until(thread, lambda page: "<p>two</p>" not in page)
    assert not made.exists()
    web.do(thread, do="redo")
    web.until(thread, "<p>two</p>")
    assert made.read_text() == "made\n"
    for wrong in ("do=undo&turns=0", "do=undo&turns=x", "do=fork&turn=9"):
        assert web.client.get(f"/t/{thread}/preview?{wrong}").status_code == 404


def test_exports_and_settings_are_read_without_secrets(web: Web) -> None:
    thread = web.start({"text": "exported answer"}, text="say it")
    web.until(thread, "exported answer")
    for name in FORMATS:
        reply = web.client.get(f"/t/{thread}/export/{name}")
        assert "exported answer" in reply.text
        assert reply.headers["content-disposition"].startswith("attachment")
    settings = web.client.get("/settings").text
    assert "mcpServers.hf-mcp-server.enabled" in settings
    assert hostile_elements(settings) == set()
