"""The pages in a real Chromium, on a phone and on a wide screen: one browser for all tests, driven by Playwright."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.web.conftest import Web

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright (the dev group)")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")
SIZES = {"phone": (360, 740), "wide": (1280, 800)}
WRITE: dict[str, Any] = {"name": "write", "args": {"path": "made.txt", "content": "made\n"}}
MILLISECONDS = 60_000


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=sandbox)
        yield chromium
        chromium.close()


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser: "Browser", web: Web) -> "Iterator[Page]":
    """A page of its own context, opened with the token. Every error of a script or of the policy fails the test."""
    width, height = SIZES[request.param]
    phone = request.param == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=phone,
        is_mobile=phone,
        color_scheme="dark" if phone else "light",
    )
    opened, problems = context.new_page(), list[str]()
    opened.set_default_timeout(MILLISECONDS)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: problems.append(line.text) if "Security Policy" in line.text else None)
    opened.goto(web.address)
    assert opened.url == f"{web.url}/"
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert problems == []


def go_to(page: "Page", web: Web, thread: str) -> None:
    page.goto(f"{web.url}/t/{thread}")


def test_a_thread_lives_on_the_page_without_a_reload(page: "Page", web: Web) -> None:
    name = page.evaluate("innerWidth")
    (folder := web.root / f"browser{name}").mkdir()
    second = {"name": "write", "args": {"path": "second.txt", "content": "x"}}
    model = web.script(
        {"text": "I write.", "tool_calls": [WRITE]}, {"tool_calls": [second]}, {"text": "# Made\n\nIt is **done**."},
        {"text": "And again."},
    )  # fmt: skip
    page.fill("#text", "Write a file")
    page.click(".new summary")
    page.fill("#folder", str(folder))
    page.fill("#model", model)
    page.click("text=Start")
    page.wait_for_url("**/t/*")
    page.evaluate("window.sameDocument = true")
    page.wait_for_selector(".question >> text=made.txt")
    page.fill(".question input[name='reason.0']", "another name please")
    page.click("button:text-is('Reject')")
    page.wait_for_selector(".question >> text=second.txt")
    assert "another name please" in page.inner_text("#log")
    page.click("text=Change the arguments")
    page.fill(".question textarea", '{"path": "third.txt", "content": "changed"}')
    page.click("button:text-is('Approve')")
    page.wait_for_selector("#log h1:text-is('Made'), #log section h1 >> text=Made")
    assert [path.name for path in folder.iterdir()] == ["third.txt"]
    page.wait_for_selector("#status .badge.idle")
    page.focus("#say")
    page.keyboard.type("one more")
    page.keyboard.press("Control+Enter" if name < 700 else "Enter")
    page.wait_for_selector("#log >> text=And again.")
    assert page.input_value("#say") == ""
    assert page.evaluate("window.sameDocument")
    ids = page.locator("#log article").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    page.screenshot(path=web.root / f"thread{name}.png")


def test_landmarks_names_and_a_place_for_a_thumb(page: "Page", web: Web) -> None:
    thread = web.start({"text": "hello"}, text="look", folder="landmarks")
    web.until(thread, "<p>hello</p>")
    page.locator(f"#row-{thread} .about").get_by_text("landmarks · 1 turn").wait_for()
    for place in ("/", f"/t/{thread}", "/settings", "/searches"):
        page.goto(web.url + place)
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("heading", level=1).count() >= 1
        nameless = page.locator("button, a, input:not([type=hidden]), textarea, select").evaluate_all(
            "all => all.filter(one => !(one.innerText || one.ariaLabel || one.labels?.length)).length"
        )
        assert nameless == 0
        small = page.locator("button.primary:visible").evaluate_all(
            "all => all.filter(one => one.getBoundingClientRect().height < 44).length"
        )
        assert small == 0
    go_to(page, web, thread)
    assert page.get_by_role("log").get_attribute("aria-live") == "polite"
    assert page.get_by_role("complementary").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"


def test_the_panels_open_and_an_undo_is_previewed(page: "Page", web: Web) -> None:
    thread = web.start({"text": "first answer"}, {"text": "second answer"}, text="one", folder="panels2")
    web.until(thread, "first answer")
    go_to(page, web, thread)
    if not page.is_visible("text=Turns and exports"):
        page.click(".about")
    page.click("text=Turns and exports")
    page.click("text=Undo to before this")
    page.click("#preview button.danger")
    page.locator("#log").get_by_text("first answer").wait_for(state="detached")
    page.locator(".turns li").wait_for(state="detached")
    assert page.locator("#preview .card").count() == 0
    page.click("text=Redo what was undone")
    page.wait_for_selector("#log >> text=first answer")


def session_of(folder: Path) -> int:
    """The process that runs the session of a folder in which it runs a command."""
    for found in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            process = found
            if (process / "cwd").readlink() == folder:
                while b"ml_intern" not in (process / "cmdline").read_bytes():
                    process = Path("/proc", (process / "stat").read_text().rpartition(")")[2].split()[1])
                return int(process.name)
    raise AssertionError("no session")


def test_a_killed_agent_is_reported_and_can_be_continued(page: "Page", web: Web) -> None:
    folder = f"killed{page.evaluate('innerWidth')}"
    slow = {"name": "bash", "args": {"command": "sleep 45"}}
    thread = web.start({"tool_calls": [slow]}, {"text": "after all"}, text="wait", folder=folder)
    go_to(page, web, thread)
    page.locator(".question").or_(page.get_by_text("bash is running")).first.wait_for()
    if page.is_visible(".question"):
        page.click("button:text-is('Approve')")
        page.wait_for_selector("#live >> text=bash is running")
        page.wait_for_selector("#question >> text=approved from the web page (Chrome on")
    os.kill(session_of(web.root / folder), signal.SIGKILL)
    page.wait_for_selector("#status .badge.lost")
    page.click("#status >> text=Continue")
    page.wait_for_selector("#log >> text=after all")


def test_two_pages_answer_and_the_second_is_told_who_was_first(page: "Page", web: Web) -> None:
    thread = web.start({"tool_calls": [WRITE]}, {"text": "fine"}, folder=f"two{page.evaluate('innerWidth')}")
    shown = web.until(thread, "May I do this?")
    go_to(page, web, thread)
    page.wait_for_selector(".question")
    page.evaluate("document.getElementById('stream').remove()")  # a page that does not know of the other answer yet
    ids = dict(re.findall(r'name="(id\.\d+)" value="([^"]+)"', shown))
    assert web.do(thread, do="answer", all="approve", **ids).status_code == 200
    web.until(thread, "<p>fine</p>")
    page.click("button:text-is('Reject')")
    page.wait_for_selector("#errors >> text=answered from the web page (python-httpx)")
