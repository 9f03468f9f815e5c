"""Hostile names and files: whatever an address, a file or a conversation contains, a page shows it as text."""

import itertools
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from starlette.routing import Route

from ml_intern.outbound.exporting.formats import FORMATS
from ml_intern.server.web.access import Policy
from ml_intern.server.web.app import create_app
from tests.server.web.conftest import TOKEN, Web
from tests.server.web.test_pages import EVIL, hostile_elements, ids_of

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
NAMES = (
    *(
        "..",
        "../..",
        "../../etc/passwd",
        "....//etc/passwd",
        "/etc/passwd",
        "%2e%2e%2f",
        "\x00",
        "a\r\nX-Evil: 1",
        EVIL,
    ),
    *("x" * 5_000, "9" * 5_000, "-1", "1e9", "\ud7ff\U0001f600", "web.css", "web.js/../web.css", "*", "%", "'; --"),
)
NUMBERS = ("9" * 5_000, "-1", "1e9", "\u00b2", "\u0663", "x-1", EVIL)
QUERIES = ("after", "before", "turns", "turn", "do")


def read(web: Web, address: str) -> httpx.Response:
    """The reply to a request. Events have no end: only their beginning is read."""
    with web.client.stream("GET", address) as reply:
        is_endless = "event-stream" in reply.headers["content-type"]
        content = next(reply.iter_raw()) if is_endless else reply.read()
        return httpx.Response(reply.status_code, headers={**reply.headers, "content-encoding": ""}, content=content)


def addresses() -> list[str]:
    """The address of every route that reads, with a place for the name of each part."""
    found = [route for route in create_app(Policy(TOKEN, 1)).routes if isinstance(route, Route)]
    return [route.path for route in found if "GET" in (route.methods or ())]


def test_hostile_names_in_an_address_are_one_clear_line(web: Web) -> None:
    thread = web.start({"text": "hello"}, text="mine", folder="names")
    web.until(thread, "<p>hello</p>")
    for path, name in itertools.product(addresses(), NAMES):
        for id in {name, thread} if "{id}" in path and path.count("{") > 1 else {name}:
            values = {"id": id, "name": name, "format": name, "number": name}
            address = path.format(**{key: quote(value, safe="") for key, value in values.items()})
            reply = read(web, address)
            assert reply.status_code in (200, 400, 404), (address, reply.status_code, reply.text)
            assert "internal error" not in reply.text, (address, reply.text)
            assert "root:x:" not in reply.text
            assert "x-evil" not in reply.headers
            if reply.headers["content-type"].startswith("text/html"):
                assert hostile_elements(reply.text) <= {"script src", "hx-partial"}, address


def test_hostile_numbers_in_a_query_are_one_clear_line(web: Web) -> None:
    thread = web.start({"text": "hello"}, text="mine", folder="queries")
    web.until(thread, "<p>hello</p>")
    paths = [
        path.format(id=thread, name="history", format="html", number="0") for path in addresses() if "/{id}" in path
    ]
    for path, query, name in itertools.product(paths, QUERIES, NUMBERS):
        reply = read(web, f"{path}?{query}={quote(name, safe='')}")
        assert reply.status_code in (200, 400, 404, 409), (path, query, name, reply.text)
        assert "internal error" not in reply.text, (path, query, name, reply.text)


def test_only_images_that_the_thread_made_in_its_folder_are_shown(web: Web) -> None:
    (folder := web.root / "pictures").mkdir()
    made = {"name": "bash", "args": {"command": "true made.png link.png fake.png page.svg ../outside.png sub/made.png"}}
    thread = web.start(
        {"tool_calls": [made]}, {"text": "made.png link.png fake.png page.svg x.html"}, folder="pictures"
    )
    page = web.until(thread, lambda page: "May I do this?" in page or "x.html" in page)
    (folder / "made.png").write_bytes(PNG)
    (web.root / "outside.png").write_bytes(PNG + b"outside")
    (folder / "link.png").symlink_to(web.root / "outside.png")
    (folder / "sub").symlink_to(web.root)
    (folder / "fake.png").write_bytes(SVG)
    (folder / "page.svg").write_bytes(SVG)
    (folder / "x.html").write_text(EVIL)
    if "May I do this?" in page:
        web.do(thread, do="answer", all="approve", **ids_of(page))
    web.until(thread, "x.html")
    shown = web.client.get(f"/t/{thread}/panel/files").text
    assert shown.count("<figure>") == 1
    assert "made.png" in shown
    assert shown.count('src="data:image/png;base64,') == shown.count("src=") == 1


def test_an_approval_shows_no_file_outside_the_folder_and_a_hostile_name_as_text(web: Web) -> None:
    (folder := web.root / "outside").mkdir()
    (web.root / "secret.txt").write_text("very secret line\n")
    (folder / "link.txt").symlink_to(web.root / "secret.txt")
    (folder / "sub").symlink_to(web.root)
    paths = (
        "link.txt",
        "../secret.txt",
        str(web.root / "secret.txt"),
        "sub/secret.txt",
        f"{EVIL.replace('/', '')}.txt",
    )
    calls: list[dict[str, Any]] = [{"name": "write", "args": {"path": path, "content": EVIL}} for path in paths]
    thread = web.start({"tool_calls": calls}, {"text": "ok"}, folder="outside")
    page = web.until(thread, "May I do this?")
    assert "very secret line" not in page
    assert hostile_elements(page.partition("<body")[2]) <= {"script src"}


def test_exports_are_files_for_the_disk_whatever_they_contain(web: Web) -> None:
    thread = web.start({"text": EVIL}, text=EVIL, folder="exports")
    web.until(thread, lambda page: 'data-state="idle"' in page)
    for name in FORMATS:
        headers = web.client.get(f"/t/{thread}/export/{name}").headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-disposition"].startswith("attachment; ")
        assert Path(headers["content-disposition"].partition('"')[2].strip('"')).stem == "thread"
