"""The interactive terminal in a real pty: how fast keys are echoed, and what waiting and long sessions cost.

Run: `uv run python -m bench.terminal`. Prints one figure per line, with its target. The echo is that of the screen of a
session, fed with events as a session sends them; start and waiting are those of the installed program.
"""

import asyncio
import os
import pty
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_intern.graph.events import Event
from ml_intern.terminal.display.console import Console
from ml_intern.terminal.state import Transcript

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
KEYS = 200
KEY_S = 0.05
TOKENS_A_SECOND = 200
LINES_A_SECOND = 10_000
TICKS_A_SECOND = 50
OUTPUTS = 100
OUTPUT_LINES = 10_000
HOURS = 8
TURN_TOKENS, CHUNK_TOKENS = 2_000, 100
TEXT = "the loss falls while the learning rate is warmed up and the gradient norm stays below one"
WORDS = tuple(TEXT.split())
PROMPT = b"> "


# --- the screen under load, as the child in the pty


class Keys:
    """Actions of the input line's keys that do nothing."""

    working = True

    def submit(self, text: str) -> None:
        """Take no line."""

    def take_back(self) -> str | None:
        """Return nothing."""
        return None

    send_now = submit
    interrupt = rewind = leave = next_mode = open_pager = open_history = toggle_plan = toggle_reasoning = lambda _: None


def event(type: str, **data: Any) -> Event:
    return Event(type, "t", 0, 0.0, data)


def chunk(text: str) -> Event:
    return event("assistant_chunk", message_id="m", kind="text", text=text)


def result(id: str, text: str) -> Event:
    data = {"text": text, "ok": True, "status": "done", "seconds": 1.0, "artifact": None, "images": []}
    return event("tool_output", id=id, name="bash", **data)


def begin(screen: Transcript) -> None:
    screen.show(event("processing", turn=1, text="go", id="u"))
    screen.show(event("tool_call", id="c", name="bash", args={"command": "python train.py"}, message_id="m"))


async def feed(screen: Transcript) -> None:
    """Stream a reply and the output of a tool at the same time, for ever."""
    begin(screen)
    tokens = lines = 0
    started = time.monotonic()
    while True:
        await asyncio.sleep(1 / TICKS_A_SECOND)
        passed = time.monotonic() - started
        while tokens < passed * TOKENS_A_SECOND:
            tokens += 1
            screen.show(chunk(f"{WORDS[tokens % len(WORDS)]}{chr(10) * 2 if tokens % 60 == 0 else ' '}"))
        count = int(passed * LINES_A_SECOND) - lines
        screen.show(event("tool_log", id="c", name="bash", text=output(lines, count)))
        lines += count


def output(first: int, count: int) -> str:
    return "".join(f"step {number} loss {1 / (number + 1):.4f}\n" for number in range(first, first + count))


async def child(load: str) -> None:
    screen = Transcript()
    console = Console(screen, Keys())
    async with console.running():
        if load == "outputs":
            for number in range(OUTPUTS):
                begin(screen)
                screen.show(result("c", output(number * OUTPUT_LINES, OUTPUT_LINES)))
                await asyncio.sleep(0)
            screen.rest()
        await (feed(screen) if load == "stream" else asyncio.Event().wait())


# --- a long session, replayed


def replayed_megabytes() -> float:
    """Return by how much the process grows with the tokens of a long session."""
    screen = Transcript()
    turns = HOURS * 3_600 * TOKENS_A_SECOND // TURN_TOKENS
    one_turn(screen)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(turns):
        one_turn(screen)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def one_turn(screen: Transcript) -> None:
    begin(screen)
    screen.show(event("tool_log", id="c", name="bash", text=output(0, 200)))
    screen.show(result("c", output(0, 200)))
    for at in range(0, TURN_TOKENS, CHUNK_TOKENS):
        screen.show(chunk(" ".join(WORDS[(at + place) % len(WORDS)] for place in range(CHUNK_TOKENS)) + "\n\n"))
        screen.finished(100, 12)
        screen.live(99, 12)
    screen.show(event("assistant_stream_end", message_id="m", partial=False))
    screen.rest()
    screen.finished(100, 12)


# --- what the parent measures


@contextmanager
def in_terminal(*argv: str, **environment: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run a program in a pty of 100x30."""
    main, other = pty.openpty()
    os.set_blocking(main, False)
    size = {"COLUMNS": "100", "LINES": "30", "TERM": "xterm-256color"}
    subprocess.run(["stty", "cols", "100", "rows", "30"], stdin=other, check=True)
    process = subprocess.Popen(
        argv, stdin=other, stdout=other, stderr=other, env={**os.environ, **size, **environment}, start_new_session=True
    )
    os.close(other)
    try:
        yield main, process
    finally:
        process.kill()
        process.wait()
        os.close(main)


def read_until(main: int, wanted: bytes, seconds: float) -> float:
    """Return when the text came, in seconds from now; `seconds` if it did not."""
    began, seen = time.perf_counter(), b""
    while (passed := time.perf_counter() - began) < seconds:
        if select.select([main], [], [], seconds - passed)[0]:
            seen = (seen + os.read(main, 65_536))[-200_000:]
            if wanted in seen:
                return time.perf_counter() - began
    return seconds


def drain(main: int, seconds: float) -> None:
    read_until(main, b"\0never", seconds)


def echoes(load: str) -> list[float]:
    """Return the times from a key to its echo."""
    with in_terminal(sys.executable, "-m", "bench.terminal", "child", load) as (main, _):
        read_until(main, PROMPT, 120)
        drain(main, 10 if load == "outputs" else 3)
        taken, line = [], "> "
        for number in range(KEYS):
            key = "abcdefghij"[number % 10]
            line = "> " + key if len(line) > 60 else line + key
            if line == "> " + key and number:
                os.write(main, b"\x15")
                drain(main, 2 * KEY_S)
            os.write(main, key.encode())
            taken.append(read_until(main, line.encode(), 5))
            drain(main, KEY_S)
    return taken


def say(what: str, value: float, unit: str, most: float) -> None:
    print(f"{what:62} {value:9.1f} {unit} (target: at most {most:g} {unit})", flush=True)


def say_echo(what: str, taken: list[float]) -> None:
    milliseconds = sorted(1000 * one for one in taken)
    say(f"key to echo, {what}, median", statistics.median(milliseconds), "ms", 8)
    say(f"key to echo, {what}, p95", milliseconds[int(len(milliseconds) * 0.95)], "ms", 25)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def program() -> None:
    """Measure the installed program: its first prompt, and what it costs while it waits."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.yaml"
        script.write_text("- {text: hello, delay: 600}\n")
        argv = [PROGRAM, "--no-sandbox", "-C", folder, "-m", f"scripted:{script}"]
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        with in_terminal(*argv, ML_INTERN_HOME=f"{folder}/home", HF_HOME=f"{folder}/home") as (main, _):
            read_until(main, b"ready", 120)  # the first start compiles what a later one reads
        with in_terminal(*argv, ML_INTERN_HOME=f"{folder}/home", HF_HOME=f"{folder}/home") as (main, process):
            say("first prompt after the start", read_until(main, PROMPT, 60), "s", 0.6)
            read_until(main, b"ready", 120)
            for what, keys, most in (("input", b"", 1), ("a model", b"go\r", 5)):
                os.write(main, keys)
                drain(main, 8)
                before = cpu_seconds(process.pid)
                drain(main, 20)
                say(f"CPU of a core while waiting for {what}", 5 * (cpu_seconds(process.pid) - before), "%", most)


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        asyncio.run(child(sys.argv[2]))
        return
    say_echo("while a reply and a tool stream", echoes("stream"))
    say_echo("after 100 outputs of 10,000 lines", echoes("outputs"))
    program()
    say(f"memory after {HOURS} hours of tokens, replayed", replayed_megabytes(), "MB", 20)


if __name__ == "__main__":
    main()
