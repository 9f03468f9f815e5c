"""How many modules a reader passes from the command line to the request to the model."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 10
"""Modules with an active function while the model is asked, parallel work included. It was 11 in version 0.1.0."""
PROGRAM = """
import asyncio, json, sys
from ml_intern.cli import main
from ml_intern.models.transports.scripted import ScriptedTransport

def awaited(coroutine):
    while coroutine is not None and hasattr(coroutine, "cr_frame"):
        yield coroutine.cr_frame.f_code.co_filename
        coroutine = coroutine.cr_await

def note(frame, event, argument):
    if frame.f_code is ScriptedTransport.stream.__code__:
        sys.setprofile(None)
        files = [file for task in asyncio.all_tasks() for file in awaited(task.get_coro())]
        while frame := frame.f_back:
            files.append(frame.f_code.co_filename)
        print(json.dumps(files), file=sys.stderr)

sys.setprofile(note)
sys.exit(main(sys.argv[1:]))
"""


def test_few_modules_are_between_the_command_line_and_the_request_to_the_model(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("- text: hello\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "-p", "hi", "--no-sandbox", "-m", f"scripted:{script}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ML_INTERN_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [line] = [line for line in done.stderr.splitlines() if line.startswith("[")]
    files = {Path(file).resolve() for file in json.loads(line)}
    own = sorted(
        str(path.relative_to(ROOT)) for path in files if path.is_relative_to(ROOT) and ".venv" not in path.parts
    )
    assert {"cli.py", "commands/running/headless.py", "session/agent.py", "models/gateway.py"} <= set(own)
    assert len(own) <= LIMIT, own
