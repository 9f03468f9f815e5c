"""Makes the home of an older version for the upgrade tests, with a thread of every state.

    git clone . old && git -C old checkout VERSION && (cd old && uv sync --no-dev)
    python tests/upgrade/make_home.py old/.venv/bin/ml-intern tests/upgrade/data/home-VERSION.tar.xz

Commit 6ea1ed7 made the home of 0.1.0. The program runs in /tmp/ml-intern-upgrade with scripted models: the home holds
no path of the machine it is made on.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

BASE = Path("/tmp/ml-intern-upgrade")
HOME, WORK, SCRIPTS = BASE / "home", BASE / "work", BASE / "scripts"
SETTINGS: dict[str, object] = {
    "model_name": "anthropic/claude-sonnet-4-5-20250929",
    "compact_model": None,
    "research_model": None,
    "fallback_model": None,
    "model_params": {},
    "reasoning_effort": None,
    "max_iterations": 300,
    "yolo_mode": False,
    "permissions": {"allow": ["bash(make)"], "ask": [{"tool": "job*", "price_over_usd": 5}], "deny": ["bash(ruby)"]},
    "sandbox": {"enabled": False, "network": "list", "hosts": []},
    "hosts": {},
    "web": {"private_hosts": []},
    "confirm_cpu_jobs": True,
    "tool_runtime": "local",
    "mcpServers": {},
    "messaging": {"enabled": False, "auto_event_types": ["error", "turn_complete"], "destinations": {}},
    "save_sessions": True,
    "share_traces": False,
    "personal_trace_repo_template": "{hf_user}/ml-intern-sessions",
}
PLAN = {"steps": [{"text": "write the file", "status": "done"}, {"text": "read it", "status": "dropped"}]}


def call(tool: str, **args: Any) -> dict[str, Any]:
    """Return a step that calls a tool."""
    return {"tool_calls": [{"name": tool, "args": args}]}


class Old:
    """The older program, run in the folder of the data."""

    def __init__(self, program: Path) -> None:
        self.program = program
        kept = {name: os.environ[name] for name in ("UV_CACHE_DIR",) if name in os.environ}
        user = {"HOME": str(BASE / "user"), "USER": "someone", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
        self.environ = kept | user | {"ML_INTERN_HOME": str(HOME)}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start it in the work folder."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [self.program, *words], cwd=WORK, env=self.environ, stdin=subprocess.DEVNULL, stdout=pipe, text=True
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Run it, expect an exit code and return what it printed."""
        with self.start(*words) as process:
            output, _ = process.communicate()
        if process.returncode != code:
            raise SystemExit(f"{words} ended with {process.returncode}, not {code}: {output}")
        return output

    def turn(self, prompt: str, *steps: dict[str, Any], words: tuple[str, ...] = (), code: int = 0) -> None:
        """Run one turn of a new thread whose title is the prompt."""
        self.run("-m", script(prompt, *steps), *words, "-p", prompt, code=code)

    def begin(self, prompt: str, command: str) -> "subprocess.Popen[str]":
        """Start a turn with a command and return once the command runs."""
        started = WORK / f"{prompt}.started"
        model = script(prompt, call("bash", command=f"touch '{started}'; {command}"), {"text": "never"})
        process = self.start("-m", model, "-p", prompt)
        while not started.exists():
            time.sleep(0.05)
        return process

    def thread(self, title: str) -> str:
        """Return the id of a thread."""
        rows = json.loads(self.run("threads", "list", "--json"))
        return next(str(row["id"]) for row in rows if row["title"] == title)


def script(name: str, *steps: dict[str, Any]) -> str:
    """Write a script and return its model id. JSON is YAML."""
    path = SCRIPTS / f"{name.replace(' ', '-')}.yaml"
    path.write_text(json.dumps(steps))
    return f"scripted:{path}"


def finished_threads(old: Old) -> None:
    """Create threads whose turns came to an end of their own."""
    written = call("write", path="done.txt", content="done\n")
    old.turn("done", call("plan", **PLAN), written, {"text": "The file is written."})
    old.turn(
        "failed", {"error": {"status": 400, "message": "a parameter is missing", "times": 9}, "text": "never"}, code=1
    )
    old.turn("artifact", call("bash", command="seq 1 9000"), {"text": "Many numbers."})
    background = call("bash", command="echo 'loss: 0.25'", background=True)
    old.turn("background run", background, {"text": "Started."}, {"text": "It has ended."}, {"text": "Nothing new."})
    child = script("child", call("read", path="done.txt"), {"text": "It says done [done.txt:1]."})
    asked = call("research", question="What does done.txt say?")
    old.turn("sub-agent", asked, {"text": "It says done."}, words=("--set", f"research_model={child}"))
    long = call("bash", command="seq 1 2000") | {"usage": {"input_tokens": 1000, "cost_usd": 0.01}}
    full = call("bash", command="echo last") | {"usage": {"input_tokens": 180_000, "cost_usd": 0.5}}
    old.turn("compacted", {"summary": "Numbers were printed."}, long, long, full, {"text": "All printed."})
    model = script("undone", *[call("write", path="undone.txt", content="one\n"), {"text": "One."}], *[
        call("bash", command="echo two > undone.txt"), {"text": "Two."}
    ])  # fmt: skip
    old.run("-m", model, "-p", "undone")
    old.run("-m", model, "-c", "-p", "once more")
    old.run("threads", "undo", old.thread("undone"))
    old.run("threads", "fork", old.thread("done"))


def unfinished_threads(old: Old) -> None:
    """Create threads that wait, were interrupted or were killed in a call."""
    touch = call("bash", command="touch approved.txt")
    old.turn("waiting", touch, {"text": "Approved."}, words=("--approval-mode", "ask"), code=3)
    with old.begin("interrupted", "sleep 300") as process:
        process.send_signal(signal.SIGINT)
    with old.begin("killed", "echo $$ > killed.pid; exec sleep 300") as process:
        process.kill()
    os.kill(int((WORK / "killed.pid").read_text()), signal.SIGKILL)


def main(program: str, output: str) -> None:
    """Make the home and pack it together with the work folder."""
    shutil.rmtree(BASE, ignore_errors=True)
    for folder in (HOME, WORK, SCRIPTS, BASE / "user"):
        folder.mkdir(parents=True)
    (HOME / "cli_agent_config.json").write_text(json.dumps(SETTINGS, indent=2))
    old = Old(Path(program).absolute())
    finished_threads(old)
    unfinished_threads(old)
    shutil.rmtree(HOME / "cache", ignore_errors=True)
    with tarfile.open(output, "w:xz") as archive:
        archive.add(HOME, "home", filter=anonymous)
        archive.add(WORK, "work", filter=anonymous)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who owned a file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main(*sys.argv[1:])
