"""One fake token in every source of a run: none is found in the run's files, requests and processes."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from ml_intern.sandbox.bubblewrap import sandbox_problem
from tests.fakes import mcp_bad_server
from tests.fakes.hub import FakeHub
from tests.fakes.model_server import Asked, Call, FakeModelServer, Reply, error
from tests.fakes.slack import FakeSlack
from tests.injection.world import forms

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
_TAIL = "aB3dE5gH7jK9mN2pQ4rS6tU8vW0x"
TOKENS = {
    "the key of the model": f"sk-proj-1{_TAIL}",
    "the token of the Hub": f"hf_2{_TAIL}",
    "the stored login": f"hf_3{_TAIL}",
    "a password in the environment": f"Correct4{_TAIL}",
    "the token of Slack": f"xoxb-5{_TAIL}",
    "the token of GitHub": f"ghp_6{_TAIL}00000000",
    "the .env": f"Service7{_TAIL}",
    "a git remote": f"Remote8{_TAIL}",
    "the message": f"hf_9{_TAIL}",
    "the pipe": f"sk-ant-api03-10{_TAIL}",
    "a mentioned file": f"gsk_11{_TAIL}",
    "a file that is read": f"hf_12{_TAIL}",
    "the output of a command": f"glpat-13{_TAIL}",
    "the environment of a server": f"Server14{_TAIL}",
    "the answer of a server": f"npm_15{_TAIL}0000",
    "the header of a server": f"Header16{_TAIL}",
    "arguments of the model": f"hf_17{_TAIL}",
    "reasoning of the model": f"hf_18{_TAIL}",
    "the answer of the model": f"sk-or-v1-19{_TAIL}",
    "an error of the provider": f"sk-proj-20{_TAIL}",
    "the address of a database": f"Database21{_TAIL}",
    "a private key": f"MIIEowIBAAKCAQEA22{_TAIL}",
    "a cloud key": "AKIA23ABCDEFGHIJKLMN",
    "a header in a log": f"Bearer24{_TAIL}",
}
GIVEN = {"the environment of a server", "the answer of a server"}
"""The value that the settings pass to a server, whose environment may contain it."""
PLACEHOLDERS = {"[redacted:hf_token]", "[redacted:NOTES_TOKEN]"}
"""Placeholders that the model must have seen, which proves that the sources were read."""
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{TOKENS['a private key']}\n-----END RSA PRIVATE KEY-----\n"


class Children:
    """Polls the arguments and environments of all descendants of a process."""

    def __init__(self, root: int) -> None:
        self._root, self._stop = root, threading.Event()
        self.found: set[bytes] = set()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.03):
            parents = {}
            for entry in Path("/proc").glob("[0-9]*/stat"):
                with suppress(OSError):
                    parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
            below = {self._root}
            for _ in range(9):
                below |= {child for child, parent in parents.items() if parent in below}
            for process in below - {self._root}:
                with suppress(OSError):
                    self._keep(Path(f"/proc/{process}"))

    def _keep(self, process: Path) -> None:
        """Record a process, unless it is between fork and exec and still shows its parent's arguments."""
        own = Path(f"/proc/{self._root}/cmdline").read_bytes()
        before = (process / "cmdline").read_bytes()
        environment = (process / "environ").read_bytes()
        if before == (process / "cmdline").read_bytes() != own:
            self.found |= {b"argv: " + before, b"environment: " + environment}


@dataclass
class Left:
    """The traces of a run by location."""

    pieces: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def add(self, where: str, content: str | bytes) -> None:
        self.pieces.append((where, content if isinstance(content, bytes) else content.encode()))

    def hits(self) -> list[str]:
        return [
            f"{name} in {where}"
            for where, content in self.pieces
            for name, token in TOKENS.items()
            if any(form in content for form in forms(token))
            if name not in GIVEN or not where.startswith("a child: environment")
        ]


class Run:
    """A user with tokens everywhere who starts the program once."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root, self.work, self.left = root, root / "work", Left()
        self.model = stack.enter_context(FakeModelServer())
        self.hub, self.slack = stack.enter_context(FakeHub()), stack.enter_context(FakeSlack())
        self._files()
        self._replies()

    def _files(self) -> None:
        subprocess.run(["git", "init", "-q", self.work], check=True)
        remote = f"https://ada:{TOKENS['a git remote']}@git.example/ada/work.git"
        subprocess.run(["git", "-C", self.work, "remote", "add", "origin", remote], check=True)
        log = f"> GET / HTTP/1.1\n> Authorization: Bearer {TOKENS['a header in a log']}\n"
        files = {
            "work/.env": f"SERVICE_TOKEN={TOKENS['the .env']}\n",
            "work/.gitignore": ".env\n*.txt\n",
            "work/mentioned.txt": f"key: {TOKENS['a mentioned file']}\n",
            "work/read.txt": f"token = {TOKENS['a file that is read']}\n{KEY}",
            "work/log.txt": f"{log}login {TOKENS['the output of a command']} {TOKENS['a cloud key']}\n",
            "user/.cache/huggingface/token": TOKENS["the stored login"],
            "settings.json": json.dumps({"mcpServers": self._servers()}),
        }
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def _servers(self) -> dict[str, object]:
        header = {"Authorization": f"Bearer {TOKENS['the header of a server']}"}
        return {
            "notes": {
                "command": sys.executable,
                "args": ["-I", mcp_bad_server.__file__],
                "env": {"NOTES_TOKEN": "${NOTES_TOKEN}", "NOTE": TOKENS["the answer of a server"]},
            },
            "gone": {
                "url": "http://127.0.0.1:9/mcp",
                "headers": header,
            },
        }

    def _replies(self) -> None:
        def one(number: int, name: str, **args: str) -> Reply:
            return Reply(calls=[Call(name, json.dumps(args), f"call_{number}")])

        self.model.say(
            error(500, f"upstream refused key {TOKENS['an error of the provider']}", retry_after_ms="1"),
            Reply(
                reasoning=f"The user gave {TOKENS['reasoning of the model']}, so I look.",
                calls=[
                    Call("bash", json.dumps({"command": "cat log.txt; env; git remote -v; cat .env"}), "call_0"),
                    Call("bash", json.dumps({"command": "cat /proc/*/environ"}), "call_1"),
                ],
            ),
            one(2, "read", path="read.txt"),
            one(3, "mcp__notes__environment"),
            one(5, "write", path="made.py", content=f"TOKEN = '{TOKENS['arguments of the model']}'\n"),
            one(6, "bash", command=f"echo {TOKENS['arguments of the model']} | base64"),
            one(7, "bash", command="python3 -c \"raise ValueError(open('log.txt').read())\""),
            one(8, "bash", command="git push origin main"),
            one(9, "jobs", operation="run", command="cat log.txt; env", timeout="1m"),
            one(10, "jobs", operation="wait", run="run-"),
            Reply(text=f"Done. Your key is {TOKENS['the answer of the model']}, and the rest is in log.txt."),
        )

    @property
    def environment(self) -> dict[str, str]:
        home = self.root / "user"
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            **self.hub.environment(home / ".cache/huggingface"),
            "HOME": str(home),
            "ML_INTERN_HOME": str(self.root / "ml-intern"),
            "ML_INTERN_CLI_CONFIG": str(self.root / "settings.json"),
            "UV_CACHE_DIR": str(self.root / "uv"),
            "OPENAI_API_KEY": TOKENS["the key of the model"],
            "HF_TOKEN": TOKENS["the token of the Hub"],
            "DATABASE_PASSWORD": TOKENS["a password in the environment"],
            "DATABASE_URL": f"postgresql://ada:{TOKENS['the address of a database']}@db.example/runs",
            "GITHUB_TOKEN": TOKENS["the token of GitHub"],
            "NOTES_TOKEN": TOKENS["the environment of a server"],
            "SLACK_BOT_TOKEN": TOKENS["the token of Slack"],
            "SLACK_CHANNEL_ID": "C0123",
            "SLACK_API_URL": self.slack.url,
        }

    def start(self, *words: str, stdin: str = "") -> str:
        process = subprocess.Popen(
            [PROGRAM, *words],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with Children(process.pid) as children:
            out, err = process.communicate(stdin, timeout=120)
        self.left.add(f"stdout of {words[:2]}", out)
        self.left.add(f"stderr of {words[:2]}", err)
        for started in children.found:
            self.left.add(f"a child: {started[:60].decode(errors='replace')}", started)
        assert process.returncode == 0, err
        return out

    def work_once(self) -> str:
        message = f"use {TOKENS['the message']} and the MCP server notes, and look at @mentioned.txt"
        model = ("-m", "openai/fake", "--base-url", self.model.url)
        out = self.start(*model, "--output-format", "stream-json", "-p", message, stdin=TOKENS["the pipe"])
        return str(json.loads(out.splitlines()[0])["thread_id"])

    def gather(self) -> None:
        """Return the files on disk and the requests to services."""
        for path in (self.root / "ml-intern").rglob("*"):
            if path.is_file():
                self.left.add(str(path.relative_to(self.root)), path.read_bytes())
        for asked in self.model.asked:
            self.left.add("a request to the model", asked.body + _others(asked))
        for message in self.slack.messages:
            self.left.add("a message to Slack", json.dumps(message))
        made = self.work / "made.py"
        self.left.add("a file that the model wrote", made.read_bytes() if made.exists() else b"")


def _others(asked: Asked) -> bytes:
    return json.dumps({name: value for name, value in asked.headers.items() if name != "authorization"}).encode()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with ExitStack() as stack:
        yield Run(tmp_path_factory.mktemp("leaks"), stack)


def test_no_token_is_found_in_files_requests_and_processes_of_a_run(
    ran: Run, record_property: Callable[[str, object], None]
) -> None:
    thread = ran.work_once()
    for words in (
        ("threads", "show", thread, "--json"),
        ("threads", "export", thread, "--format", "sts"),
        ("config", "show", "--json"),
        ("doctor",),
    ):
        ran.start(*words)
    ran.gather()
    shown = b"".join(asked.body for asked in ran.model.asked).decode()
    said = set(re.findall(r"\[redacted:[a-z_A-Z]+\]", shown))
    assert len(ran.model.asked) == 11
    assert said >= PLACEHOLDERS, PLACEHOLDERS - said
    assert ran.slack.messages
    assert ran.left.hits() == []
    record_property("reached", f"{len(TOKENS)} tokens, {len(ran.left.pieces)} artefacts, 0 hits")
