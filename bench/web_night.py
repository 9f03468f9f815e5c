"""A scripted night on a phone: one thread from its start to the next morning, on the web page in Chromium.

It starts a thread, rejects a call with a reason, approves others, steers, is woken by the end of a run, reads the
evidence, sleeps, and the next morning continues, undoes and forks. Each step waits for what the page must show, and is
saved as a picture to look at. It needs Debian's Chromium. Run: `python -m bench.web_night FOLDER [wide]`
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.web import CHROMIUM, served

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

SIZES: Final = {"phone": (360, 740), "wide": (1280, 800)}
MILLISECONDS: Final = 120_000
PLAN: Final = [
    {"text": "Write the training script", "status": "in_progress"},
    {"text": "Train the baseline for 8 epochs with the cosine schedule", "status": "pending"},
    {"text": "Report the loss on the validation split", "status": "pending"},
]
TRAIN: Final = """import random
import time

random.seed({seed})
for step in range(1, 9):
    time.sleep(0.5)
    print(f"step {step} loss={1 / step + random.random() / 50:.4f}", flush=True)
print("accuracy=0.9125")
"""
REPORT: Final = """The baseline is trained: **accuracy 0.9125** on the validation split.

| seed | epochs | accuracy |
| ---- | ------ | -------- |
| 7    | 8      | 0.9125   |

```python
model = load("runs/baseline/checkpoint-8", device="cuda", dtype="bfloat16", attention="flash_attention_2")
```
"""


def steps() -> list[dict[str, object]]:
    """Return what the model says and calls."""

    def write(seed: int) -> dict[str, object]:
        return {"name": "write", "args": {"path": "train.py", "content": TRAIN.replace("{seed}", str(seed))}}

    run = {"name": "bash", "args": {"command": "python3 train.py", "background": True}}
    slow = {
        "name": "bash",
        "args": {"command": "for i in 1 2 3 4 5 6 7 8; do echo checking shard $i of 8; sleep 1; done"},
    }
    return [
        {"text": "I plan first.", "tool_calls": [{"name": "plan", "args": {"steps": PLAN}}]},
        {"text": "This is the script.", "tool_calls": [write(0)]},
        {"text": "With seed 7, as you said.", "tool_calls": [write(7)]},
        {"text": "I check the data before I train.", "tool_calls": [slow]},
        {"text": "Good. The run starts in the background.", "tool_calls": [run]},
        {"text": "The run is training. I will report when it has ended."},
        {"text": REPORT},
        {"text": REPORT},
        {"text": "Good morning. The run reached 0.9125."},
        {"text": "Good morning. The run reached 0.9125."},
        {"text": "I am done."},
        {"text": "I am done."},
    ]


class Night:
    """The page of a thread, and its pictures."""

    def __init__(self, page: "Page", pictures: Path, width: int) -> None:
        self.page, self._pictures, self._width = page, pictures, width
        self._number, self._began = 0, time.monotonic()

    async def see(self, name: str) -> None:
        """Save a picture. Nothing may be wider than the screen."""
        self._number += 1
        await self.page.wait_for_timeout(300)
        path = self._pictures / f"{self._number:02d}-{name}.png"
        await self.page.screenshot(path=path)
        wide = await self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= self._width, f"{name} is {wide} pixels wide"
        print(f"{time.monotonic() - self._began:6.1f} s  {path.name}")

    async def wait(self, selector: str) -> None:
        """Wait until something is on the page."""
        await self.page.wait_for_selector(selector)

    async def tap(self, selector: str) -> None:
        """Tap on the first visible element."""
        await self.page.locator(f"{selector} >> visible=true").first.click()

    async def approve(self) -> None:
        """Approve what is asked, and wait until the question is gone."""
        await self.tap("button:text-is('Approve')")

    async def approve_until(self, selector: str) -> None:
        """Wait until something is on the page. A command is asked about where there is no sandbox."""
        question, shown = self.page.locator(".question"), self.page.locator(selector)
        await question.or_(shown).first.wait_for()
        if await question.is_visible():
            await self.approve()
        await self.wait(selector)

    async def open_turns(self) -> None:
        """Open the panel with the turns."""
        if not await self.page.is_visible("summary:text-is('Turns and exports')"):
            await self.tap(".about")
        if not await self.page.is_visible("text=Fork after this"):
            await self.tap("summary:text-is('Turns and exports')")
        await self.wait("text=Fork after this")


async def evening(night: Night, url: str, folder: Path, model: str) -> None:
    """Start, look in, reject with a reason, approve, and steer."""
    await night.see("no-threads")
    await night.page.fill("#text", "Train the baseline and report its accuracy on the validation split.")
    await night.tap(".new summary")
    await night.page.fill("#folder", str(folder))
    await night.page.fill("#model", model)
    await night.see("a-new-thread")
    await night.tap("text=Start")
    await night.page.wait_for_url("**/t/*")
    await night.wait(".question >> text=train.py")
    await night.see("a-question")
    thread = night.page.url
    await night.page.goto(f"{url}/")
    await night.wait(".list >> text=needs your answer")
    await night.see("the-list-asks")
    await night.page.goto(thread)
    await night.wait(".question >> text=train.py")
    await night.page.fill(".question input[name='reason.0']", "use seed 7")
    await night.see("a-reason")
    await night.tap("button:text-is('Reject')")
    await night.wait(".question >> text=seed(7)")
    await night.see("asked-again")
    await night.approve()
    await night.approve_until("#live >> text=checking shard 1")
    await night.page.fill("#say", "Stop after 8 epochs in any case.")
    await night.tap("button:text-is('Send')")
    await night.wait("#queue >> text=Stop after 8")
    await night.see("queued-while-it-runs")
    await night.tap("button:text-is('Send now')")
    await night.wait("#log >> text=Stop after 8")
    await night.see("steered")


async def late(night: Night) -> None:
    """Start the run, and look at it when its end has woken the thread."""
    await night.approve_until("#log >> text=I will report")
    await night.see("the-run-trains")
    await night.wait("#log >> text=is trained")
    await night.wait("#status .badge.idle")
    await night.see("woken-by-its-end")
    if not await night.page.is_visible("summary:text-is('Runs')"):
        await night.tap(".about")
    await night.see("details")
    for name, shown in (("Runs", "polyline"), ("Evidence", "h3"), ("Files changed", "details")):
        await night.tap(f"summary:text-is('{name}')")
        panel = night.page.locator("details.panel", has=night.page.locator(f"summary:text-is('{name}')"))
        await panel.locator(shown).first.wait_for(state="attached")
        await panel.scroll_into_view_if_needed()
        await night.page.evaluate("window.scrollBy(0, 300)")
        await night.see(f"panel-{name.lower().replace(' ', '-')}")
        await night.tap(f"summary:text-is('{name}')")


async def morning(night: Night) -> None:
    """Wake the phone, and ask for what happened meanwhile."""
    page = night.page
    await page.evaluate("window.sameDocument = true")
    await page.context.set_offline(True)
    await page.wait_for_timeout(4_000)
    await night.see("asleep")
    await page.context.set_offline(False)
    await page.fill("#say", "Good morning. How did it end?")
    await night.tap("button:text-is('Send')")
    await night.wait("#log >> text=How did it end?")
    await night.wait("#log >> text=reached 0.9125")
    await night.wait("#status .badge.idle")
    assert await page.evaluate("window.sameDocument")
    await night.see("good-morning")


async def undo_and_fork(night: Night, url: str) -> None:
    """Undo the last turn, fork the first, and look at the other pages."""
    page = night.page
    await night.open_turns()
    await night.see("turns")
    await page.locator("text=Undo to before this").last.click()
    await night.wait("#preview .card")
    await night.see("undo-preview")
    assert await page.evaluate("document.querySelector('#preview .card').getBoundingClientRect().top") > 0
    await night.tap("#preview button.danger")
    await page.locator("#log").get_by_text("How did it end?").wait_for(state="detached")
    await page.locator("#preview .card").wait_for(state="detached")
    await night.see("undone")
    await night.open_turns()
    await page.locator("text=Fork after this").first.click()
    await night.wait("#preview .card")
    await night.see("fork-preview")
    here = page.url
    await night.tap("#preview button:text-is('Fork')")
    await page.wait_for_url(lambda address: "/t/" in address and address != here)
    await night.wait("#log article")
    await night.see("the-fork")
    await page.goto(f"{url}/")
    await night.see("two-threads")
    await page.goto(f"{url}/settings")
    await night.see("settings")


async def live(browser: "Browser", size: str, pictures: Path, folder: Path) -> None:
    """Live through the night."""
    (script := folder / "script.yaml").write_text(json.dumps(steps()))
    (work := folder / "baseline").mkdir()
    width, height = SIZES[size]
    is_phone = size == "phone"
    context = await browser.new_context(
        viewport={"width": width, "height": height}, has_touch=is_phone, is_mobile=is_phone,
        color_scheme="dark" if is_phone else "light",
    )  # fmt: skip
    page = await context.new_page()
    page.set_default_timeout(MILLISECONDS)
    async with served(folder) as (url, token, _):
        await page.goto(f"{url}/?token={token}")
        night = Night(page, pictures, width)
        await evening(night, url, work, f"scripted:{script}")
        await late(night)
        await morning(night)
        await undo_and_fork(night, url)
    await context.close()


async def main(pictures: Path, size: str) -> None:
    """Live through the night in a folder and a home of its own."""
    from playwright.async_api import async_playwright

    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        os.environ["ML_INTERN_HOME"] = str(Path(name) / "home")
        (settings := Path(name) / "settings.json").write_text('{"mcpServers": {"hf-mcp-server": {"enabled": false}}}')
        os.environ["ML_INTERN_CLI_CONFIG"] = str(settings)
        async with async_playwright() as playwright:
            sandbox = [] if os.getuid() else ["--no-sandbox"]
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
            await live(browser, size, pictures, Path(name))
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "phone"))
