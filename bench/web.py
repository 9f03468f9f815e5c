"""The web page: its start, the first paint of a long thread, and many watchers of one thread that come and go.

The first paint needs Debian's Chromium and the package playwright. Run: `python -m bench.web`
"""

import asyncio
import json
import os
import random
import re
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from ml_intern.outbound.conversation import Conversation, Message
from ml_intern.session.threads import open_threads

MESSAGES: Final = 1_000
WATCHERS: Final = 200
STEPS: Final = 60
GOAL_START_S: Final = 1.0
GOAL_PAINT_S: Final = 1.0
GOAL_PAGE_MB: Final = 5.0
TRANSIENT: Final = ("assistant_chunk", "tool_log")
CHROMIUM: Final = "/usr/bin/chromium"
SECONDS: Final = 300.0


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[str, str, float]]:
    """Start the page. Yield its address, its token, and the seconds from the start to the first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    words = [sys.executable, "-m", "ml_intern", "web", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        token = re.findall(r"token=(\S+)", (await process.stdout.readline()).decode())[0]
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(headers={"x-api-key": token}, trust_env=False) as client:
            assert (await client.get(f"{url}/")).status_code == 200
        yield url, token, time.monotonic() - began
    finally:
        process.terminate()
        await process.wait()


async def long_thread(folder: Path) -> str:
    """Save a thread with many messages and return its id."""
    words = "The loss fell from 0.48 to 0.31 after the third epoch. " * 8
    roles = ("user", "assistant")
    messages = [Message(roles[number % 2], f"{number}. {words}") for number in range(MESSAGES)]  # type: ignore[arg-type]
    async with open_threads(lambda _message, _remedy: None) as threads:
        return (await threads.import_conversation(Conversation("", messages), str(folder), "bench")).id


async def first_paint(address: str, page_address: str) -> tuple[float, float, float]:
    """Open a page in Chromium. Return the seconds to its first paint and to its messages, and the MB that were read."""
    from playwright.async_api import async_playwright

    sandbox = [] if os.getuid() else ["--no-sandbox"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        page = await browser.new_page(viewport={"width": 360, "height": 740})
        await page.goto(address)
        sizes: list[int] = []
        page.on("response", lambda one: sizes.append(int(one.headers.get("content-length", 0))))
        await page.goto(page_address, wait_until="load")
        paint = await page.evaluate(
            "new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))"
            ".observe({type: 'paint', buffered: true}))"
        )
        await page.wait_for_selector("#log article")
        shown = await page.evaluate("performance.now()")
        await browser.close()
    return paint / 1000, shown / 1000, sum(sizes) / 1e6


async def watched(url: str, token: str, folder: Path) -> tuple[int, int, int, int]:
    """Let many watchers follow one thread. Return the deliveries, the returns, the gaps and the doubles."""
    (folder / "a.txt").write_text("word\n" * STEPS)
    calls = [{"name": "read", "args": {"path": "a.txt", "offset": line}} for line in range(1, STEPS + 1)]
    steps = [{"delay": 0.2, "text": "I read it.", "tool_calls": [call]} for call in calls]
    (script := folder / "script.yaml").write_text(json.dumps([*steps, {"text": "done"}]))
    limits = httpx.Limits(max_connections=None)
    headers = {"x-api-key": token}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=SECONDS, limits=limits
    ) as client:
        body = {"folder": str(folder), "text": "go", "model": f"scripted:{script}"}
        id = (await client.post("/api/threads", json=body)).json()["id"]
        found = await asyncio.gather(*(_watch(client, id, number) for number in range(WATCHERS)))
    whole = {seq for seen, _ in found for seq in seen}
    gaps = sum(len(whole - set(seen)) for seen, _ in found)
    doubles = sum(len(seen) - len(set(seen)) for seen, _ in found)
    return sum(len(seen) for seen, _ in found), sum(returns for _, returns in found), gaps, doubles


async def _watch(client: httpx.AsyncClient, id: str, number: int) -> tuple[list[int], int]:
    """Read the events of a thread up to the end of its turn, and leave again and again. Return the numbers."""
    stay, seen, after, returns = random.Random(number), list[int](), 0, 0
    while True:
        until = time.monotonic() + stay.uniform(0.5, 4.0)
        async with client.stream("GET", f"/api/threads/{id}/events", params={"after": after}) as reply:
            async for line in reply.aiter_lines():
                if not line.startswith("data: "):
                    continue
                event: dict[str, Any] = json.loads(line.removeprefix("data: "))
                if "type" not in event or event["type"] in TRANSIENT:
                    continue
                seen.append(event["seq"])
                after = event["seq"]
                if event["type"] == "turn_complete":
                    return seen, returns
                if time.monotonic() > until:
                    break
        returns += 1


async def main() -> None:
    """Measure, and print each figure beside its goal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ML_INTERN_HOME"] = str(folder / "home")
        (settings := folder / "settings.json").write_text('{"mcpServers": {"hf-mcp-server": {"enabled": false}}}')
        os.environ["ML_INTERN_CLI_CONFIG"] = str(settings)
        thread = await long_thread(folder)
        async with served(folder) as (url, token, started):
            print(f"start to the first answer: {started:.2f} s (goal {GOAL_START_S:g})")
            if Path(CHROMIUM).exists():
                for when in ("at the start", "later"):
                    painted, shown, megabytes = await first_paint(f"{url}/?token={token}", f"{url}/t/{thread}")
                    print(f"{MESSAGES:,} messages {when}, first paint: {painted:.2f} s (goal {GOAL_PAINT_S:g})")
                    print(f"    messages shown: {shown:.2f} s, read: {megabytes:.2f} MB (goal {GOAL_PAGE_MB:g})")
            print(f"load of the machine: {os.getloadavg()[0]:.1f}")
            deliveries, returns, gaps, doubles = await watched(url, token, folder)
            print(
                f"{WATCHERS} watchers, {returns:,} returns, {deliveries:,} deliveries: {gaps} gaps, {doubles} doubles"
            )


if __name__ == "__main__":
    asyncio.run(main())
