"""The files in deploy/ agree with the command line and the settings. Docker itself is not run."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ml_intern.commands.argv import split
from ml_intern.commands.table import COMMANDS
from ml_intern.configs.variables import PROGRAM_VARIABLES, setting_variables

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SPACE = (ROOT / "deploy/space/README.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
OWN = [name for name in COMPOSE["services"] if name in ("server", "worker")]


def commands() -> list[list[str]]:
    started = re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert started is not None
    return [json.loads(started[1]), *(COMPOSE["services"][name]["command"] for name in OWN)]


def test_the_commands_and_their_options_exist() -> None:
    reference = (ROOT / "docs/reference/commands.md").read_text()
    for program, *words in commands():
        assert program == "ml-intern"
        assert split(words).command in COMMANDS
        shown = reference.split(f"Usage: ml-intern {words[0]} ")[1].split("```")[0]
        assert [word for word in words if word.startswith("--") and f"{word} " not in shown] == []


def test_the_variables_exist() -> None:
    named = {name for one in OWN for name in COMPOSE["services"][one]["environment"]}
    named |= set(re.findall(r"^ENV (\w+)=", DOCKERFILE, re.MULTILINE))
    named |= set(re.findall(r"`(ML_INTERN_\w+)", SPACE))
    own = {name for name in named if name.startswith("ML_INTERN_")}
    assert own <= {*PROGRAM_VARIABLES, *setting_variables()}
    assert "ML_INTERN_DATABASE" in own


def test_the_space_serves_the_port_of_the_image() -> None:
    front = yaml.safe_load(SPACE.split("---")[1])
    assert f"EXPOSE {front['app_port']}" in DOCKERFILE
    assert front["hf_oauth"] is True
    assert all(str(front["app_port"]) in command for command in commands() if command[1] == "serve")
    assert COMPOSE["services"]["worker"]["deploy"]["replicas"] == 2
