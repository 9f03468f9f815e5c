"""Make the terminal pictures of the documentation: real sessions on a pseudo-terminal, saved as SVG in docs/images.

The model is scripted, so no key is needed. Everything else is real: the program, its tools, the training runs.
Run it with `make captures`. The pictures carry times and ids, so nothing compares them.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
import yaml
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
COLUMNS, ROWS = 100, 32
PROMPT = "$ "
SHELL_WAITS = r"^\$$"
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # no fonts from the network
SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD|^ML_INTERN")
COLOURS = {"brown": "yellow"}  # pyte's name for it
TRAIN = """\
import json, math, random, sys

rate = float(sys.argv[sys.argv.index("--lr") + 1])
noise = random.Random(7)
points = [(noise.gauss(0, 1), noise.gauss(0, 1)) for _ in range(600)]
labels = [int(x + 0.5 * y + noise.gauss(0, 0.5) > 0) for x, y in points]
weights = [0.0, 0.0]
for step in range(1, 41):
    loss = 0.0
    for (x, y), label in zip(points[:400], labels):
        guess = 1 / (1 + math.exp(-weights[0] * x - weights[1] * y))
        loss -= math.log(guess if label else 1 - guess) / 400
        weights[0] += rate * (label - guess) * x
        weights[1] += rate * (label - guess) * y
    print(f"step {step} loss={loss:.4f}")
right = sum((weights[0] * x + weights[1] * y > 0) == label for (x, y), label in zip(points[400:], labels[400:]))
print(json.dumps({"accuracy": right / 200}))
"""
AFTER_STEP = '    print(f"step {step} loss={loss:.4f}")\n'
EVERY_TENTH = f"    if step % 10 == 0:\n    {AFTER_STEP}"
BROKEN = (
    TRAIN.replace("right / 200", "right / len(label)")
    .replace(AFTER_STEP, EVERY_TENTH)
    .replace("range(1, 41)", "range(1, 1 + int(sys.argv[-1]))")
)
STOP_EARLY = AFTER_STEP + "    if loss < 0.35:\n        break\n"
CTRL_C, CTRL_D, CTRL_S, ESC_ESC = "\x03", "\x04", "\x13", "\x1b\x1b"


def call(tool: str, /, **args: str) -> dict[str, Any]:
    """Return a tool call of the scripted model."""
    return {"name": tool, "args": args}


def train(steps: int, rate: str = "0.01") -> str:
    """Return the command that trains in the scene `repair`."""
    return f"python3 -u train.py --lr {rate} --steps {steps}"


def change(old: str, new: str) -> dict[str, Any]:
    """Return a call that changes the training script."""
    return call("edit", path="train.py", old=old, new=new)


REPAIR_STEPS: tuple[dict[str, Any], ...] = (
    {
        "text": "I will read it and run it.",
        "tool_calls": [call("read", path="train.py"), call("bash", command=train(40))],
    },
    {
        "text": "`label` is the last label, not the list. I will use the number of held-out rows.",
        "tool_calls": [change("right / len(label)", "right / 200")],
    },
    {
        "text": "Then it follows the split.",
        "tool_calls": [change("right / len(label)", "right / len(labels[400:])")],
    },
    {"tool_calls": [call("bash", command=train(40))]},
    {"text": '`train.py` runs to its end. Accuracy on the held-out rows: **${result:accuracy": ([0-9.]+)}**.'},
)
BACKGROUND_STEPS: tuple[dict[str, Any], ...] = (
    {
        "text": "I start it in the background, and a shorter run to compare with.",
        "tool_calls": [
            call("jobs", operation="run", name="long", command=train(1_500_000, "0.00001")),
            call("bash", command=f"{train(4_000)} | tail -n 2"),
        ],
    },
    {"text": 'The long run continues. The shorter one has an accuracy of **${result:accuracy": ([0-9.]+)}**.'},
)
EVERY_STEP_STEPS: tuple[dict[str, Any], ...] = (
    {"tool_calls": [change(EVERY_TENTH, AFTER_STEP)]},
    {"text": "`train.py` prints every step now."},
)
"""The replies of the scene `repair`."""


class Terminal:
    """A shell on a pseudo-terminal of fixed size."""

    def __init__(self, folder: Path, environment: Mapping[str, str], rows: int = ROWS) -> None:
        self.screen = new_screen(rows)
        self._stream = pyte.ByteStream(self.screen)
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], dict(environment))  # noqa: S606
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
        self.screen.write_process_input = self.type  # answers to requests for the cursor's position
        self.wait_for(SHELL_WAITS)

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._terminal, text.encode())

    def run(self, command: str, until: str = "", seconds: float = 400) -> None:
        """Type a command and wait for a text, or for the next prompt of the shell."""
        self.type(f"{command}\r")
        self.wait_for(until or re.escape(command) + r".*\n\$$", seconds)

    def wait_for(self, pattern: str, seconds: float = 400, *, rests: bool = True) -> None:
        """Wait until the screen matches a regular expression and, if it `rests`, shows no change for a moment.

        Raises:
            TimeoutError: the screen does not match in time.
        """
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text().rstrip(), re.DOTALL | re.MULTILINE):
            if time.monotonic() > end:
                raise TimeoutError(f"no {pattern!r} on the screen:\n{self.text()}")
            self._read(0.1)
        while rests and self._read(0.5):  # what is still being drawn
            pass

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        if ready:
            self._stream.feed(os.read(self._terminal, 65_536))
        return bool(ready)

    def text(self) -> str:
        """Return what is on the screen and above it."""
        return "\n".join("".join(cell.data for cell in line).rstrip() for line in self.lines())

    def lines(self) -> Iterator[list[Any]]:
        """Yield every line as its cells, the lines above the screen first."""
        last = max((row for row in self.screen.buffer if self._has_text(row)), default=0)
        used = range(max(last, self.screen.cursor.y) + 1)
        for line in (*self.screen.history.top, *(self.screen.buffer[row] for row in used)):
            yield [line[column] for column in range(COLUMNS)]

    def _has_text(self, row: int) -> bool:
        return any(cell.data.strip() for cell in self.screen.buffer[row].values())

    def close(self) -> None:
        """End the shell and what it runs."""
        os.kill(self._pid, signal.SIGHUP)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)


def new_screen(rows: int) -> Any:
    """Return an empty screen that remembers the lines above it. Its way to answer the program is replaced later."""
    return pyte.HistoryScreen(COLUMNS, rows, history=2_000)


def save(terminal: Terminal, name: str, title: str, first: str = "", last: str = "") -> None:
    """Write the picture docs/images/NAME.svg, from the line that contains `first` to the one before `last`.

    Raises:
        ValueError: the picture would show a path of this checkout.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    lines = [as_text(cells) for cells in terminal.lines()]
    begin = next((i for i, line in enumerate(lines) if first and first in line.plain), 0)
    end = next((i for i, line in enumerate(lines) if last and i > begin and last in line.plain), len(lines))
    if str(ROOT) in "".join(line.plain for line in lines[begin:end]):
        raise ValueError(f"{name} shows the folder of the checkout")
    for line in lines[begin:end]:
        console.print(line, no_wrap=True, crop=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title=title, code_format=SVG, unique_id=name)
    (IMAGES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def as_text(cells: list[Any]) -> Text:
    """Return one line; neighbouring cells of the same style are one span."""
    text = Text()
    for style, group in groupby(cells, key=style_of):
        text.append("".join(cell.data for cell in group), style)
    text.rstrip()
    return text


def style_of(cell: Any) -> Style:
    """Return the rich style of a cell."""
    return Style(
        color=colour(cell.fg),
        bgcolor=colour(cell.bg),
        bold=cell.bold or None,
        italic=cell.italics or None,
        underline=cell.underscore or None,
        reverse=cell.reverse or None,
    )


def colour(name: str) -> str | None:
    """Return rich's name of a colour."""
    if name == "default":
        return None
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return COLOURS.get(name, name.replace("bright", "bright_"))


class Scenes:
    """The sessions that are captured. Each has a folder of its own under one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        kept = {name: value for name, value in os.environ.items() if not SECRET.search(name)}
        self.environment = kept | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "ML_INTERN_HOME": str(home / ".ml-intern"),
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "COLORFGBG": "15;0",
            "LANG": "C.UTF-8",
            "PS1": PROMPT,
        }

    def folder(self, name: str) -> Path:
        """Return a new working folder with a training script."""
        folder = self._home / name
        folder.mkdir()
        (folder / "train.py").write_text(TRAIN)
        return folder

    def script(self, folder: Path, *steps: dict[str, Any]) -> str:
        """Write a script for the scripted model and return the model id."""
        path = self._home / f"{folder.name}-{len(list(self._home.glob('*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump(list(steps)))
        return f"scripted:{path}"

    def headless(self, folder: Path, model: str, prompt: str) -> None:
        """Run one turn without a person."""
        command = ["ml-intern", "-m", model, "--output-format", "json", prompt]
        subprocess.run(command, cwd=folder, env=self.environment, check=True, capture_output=True)

    def repair(self) -> None:
        """Work on a training script: it is repaired, trains in the background, and is left and resumed."""
        folder = self.folder("churn")
        (folder / "train.py").write_text(BROKEN)
        model = self.script(folder, *REPAIR_STEPS, *BACKGROUND_STEPS, *EVERY_STEP_STEPS)
        terminal = Terminal(folder, {**self.environment, "M": model}, rows=44)
        terminal.run('ml-intern -m "$M"', until="/help shows the commands")
        terminal.run("train.py fails, fix it", until=r"View all of it")
        terminal.run("count the rows, no constants please", until=r"labels\[400:\].*View all of it")
        terminal.run("y", until=r"Accuracy on the held-out rows.*ready")
        terminal.type("train it much longer in the background\r")
        terminal.wait_for("4000.*Esc interrupts.*long loss", rests=False)
        terminal.type(f"with the accuracy, please{CTRL_S}")
        terminal.wait_for(r"^> with the accuracy, please$.*The long run continues.*ready")
        save(terminal, "repair", "ml-intern", first="train.py fails")
        terminal.run("print the loss of every step", until=r"View all of it")
        terminal.run("y", until=r"prints every step.*ready")
        terminal.type(ESC_ESC)
        terminal.wait_for(r"before which turn.*revert +train.py")
        save(terminal, "rewind", "ml-intern", first="prints every step")
        terminal.run("", until="Files only")
        terminal.run("", until=r"undone: 1 turn.*ready")
        terminal.type(CTRL_C + CTRL_D)
        terminal.wait_for("n Stay")
        save(terminal, "leave", "ml-intern", first="undone: 1 turn")
        terminal.run("", until="continue with")
        terminal.close()
        later = Terminal(folder, {**self.environment, "M": model}, rows=14)
        later.run('ml-intern -c -m "$M"', until=r"resumed.*ready.*long loss")
        save(later, "resume", "ml-intern -c", first="resumed")
        later.type(CTRL_D)
        later.wait_for("n Stay")
        later.run("s", until="continue with")
        later.close()

    def session(self) -> None:
        """The demo, from the first reply to the answer."""
        terminal = Terminal(self._home, self.environment, rows=48)
        terminal.run("ml-intern demo --dir digits", until=r"View all of it", seconds=400)
        terminal.run("y", until=r"a real model:.*\n\$$", seconds=400)
        save(terminal, "session", "ml-intern demo", first="I will read the settings", last="demo: files in")
        shown = re.search(r"threads show (\w+)", terminal.text())
        if shown:  # its title is the whole task, too long for the list
            terminal.run(f"ml-intern threads rename {shown[1]} 'digits classifier'")
        terminal.close()

    def approval(self) -> None:
        """The question before a file is changed."""
        folder = self.folder("reviews")
        model = self.script(
            folder,
            {"text": "I will read the script first.", "tool_calls": [{"name": "read", "args": {"path": "train.py"}}]},
            {
                "text": "It always trains for 40 steps. I will add a check after each step.",
                "tool_calls": [{"name": "edit", "args": {"path": "train.py", "old": AFTER_STEP, "new": STOP_EARLY}}],
            },
            {"text": "Done."},
        )
        terminal = Terminal(folder, {**self.environment, "M": model})
        terminal.run('ml-intern -m "$M"', until="/help shows the commands")
        terminal.run("add early stopping", until=r"View all of it")
        save(terminal, "approval", "ml-intern", first="add early stopping")
        terminal.close()

    def compare(self) -> None:
        """Two runs side by side, as experiments."""
        folder = self.folder("lr")
        for rate in ("0.001", "0.01"):
            run = {"operation": "run", "command": f"python3 train.py --lr {rate}", "name": f"lr-{rate}"}
            started = {
                "text": f"I will start it with a learning rate of {rate}.",
                "tool_calls": [{"name": "jobs", "args": run}],
            }
            model = self.script(folder, started, {"text": "The run has started."}, {"text": "The run has ended."})
            self.headless(folder, model, f"train with rate {rate}")
        terminal = Terminal(folder, self.environment)
        terminal.run("ml-intern runs compare lr-0.001 lr-0.01")
        terminal.run("ml-intern runs best loss")
        save(terminal, "compare", "ml-intern runs")
        terminal.close()

    def threads(self) -> None:
        """The threads that the other scenes left."""
        terminal = Terminal(self._home, self.environment)
        terminal.run("ml-intern threads list")
        save(terminal, "threads", "ml-intern threads")
        terminal.close()


SCENES: dict[str, Callable[[Scenes], None]] = {
    "repair": Scenes.repair,
    "session": Scenes.session,
    "approval": Scenes.approval,
    "compare": Scenes.compare,
    "threads": Scenes.threads,
}


def remove(folder: Path, seconds: float = 60) -> None:
    """Remove a folder in which processes may still be ending. OSError when something of it is left."""
    end = time.monotonic() + seconds
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.2)
    if folder.exists():
        shutil.rmtree(folder)


def main() -> None:
    """Capture every scene, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "scene", nargs="*", choices=[[], *SCENES], metavar="SCENE", help=f"{', '.join(SCENES)}; default: all of them"
    )
    wanted = parser.parse_args().scene or list(SCENES)
    home = Path(tempfile.gettempdir()) / "ml"  # short, so that lines with paths do not wrap
    home.mkdir(mode=0o700)
    try:
        scenes = Scenes(home)
        for name in wanted:
            SCENES[name](scenes)
            print(f"docs/images/{name}.svg")
    finally:
        remove(home)


if __name__ == "__main__":
    main()
