"""`config check`: every fault of a settings file with its line and column; what only warns fails nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.check import Positions
from tests.commands.conftest import Done

Run = Callable[..., Done]


@pytest.fixture
def write(place: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = place.parent / "home" / "cli_agent_config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_without_faults_is_said_to_have_none(run: Run, write: Callable[[str], Path]) -> None:
    path = write('{"max_iterations": 5}')
    done = run("config", "check")
    assert (done.code, done.out) == (0, f"no errors in {path}\n")


FAULTS = """{
  "max_iterations": 0,
  "modle_name": "x",
  "mcpServers": {
    "a": {"url": "ftp://x"},
    "b": {"command": "x", "url": "https://y"},
    "c": {"url": "https://y", "headers": {"X": "${NOT_SET_ANYWHERE}"}},
    "d": {"transport": "sse", "url": "https://y"}
  },
  "messaging": {"auto_event_types": ["error", "lunch"],
    "destinations": {"s": {"provider": "slack", "token": "t"}}},
  "yolo_mode": "perhaps",
  "yolo_mode": "never"
}"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"permissions": {"allow": ["read",\n"bash(rm"]}}',
            "2:1: permissions.allow.1: is not a valid rule: 'bash(rm'",
        ),
        (
            '{"permissions": {"deny": [{"tool": 1}]}}',
            "1:27: permissions.deny.0: is not a valid rule: tool: Input should be",
        ),
        ('{"sandbox": {"hosts": ["ftp://x"]}}', "1:14: sandbox.hosts: 'ftp://x' is not a host"),
        ('{"sandbox": {"hosts": ["http://x:y"]}}', "1:14: sandbox.hosts: port could not be cast"),
        ('{"sandbox": {"hosts": ["a b"]}}', "1:14: sandbox.hosts: 'a b' is not a host, a .domain or an http address"),
        ('{"personal_trace_repo_template": "{who}/x"}', "1:2: personal_trace_repo_template: must be OWNER/NAME"),
        ('{"share_traces": "maybe"}', "1:2: share_traces: input should be True, False, 'private' or 'public'"),
        ('{"model_name": "nonsense/x"}', "1:2: warning: model_name: unknown provider 'nonsense'"),
    ],
)
def test_what_only_a_run_would_find_is_found(run: Run, write: Callable[[str], Path], text: str, said: str) -> None:
    path = write(text)
    (line,) = run("config", "check").out.splitlines()
    assert line.removeprefix(f"{path}:").startswith(said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"yolo_mode": "yes"}', "1:2: yolo_mode: input should be a valid boolean"),
        ('{"yolo_mode": 1}', "1:2: yolo_mode: input should be a valid boolean"),
        ('{"max_iterations": "5"}', "1:2: max_iterations: input should be a valid integer"),
        (
            '{"mcpServers": {"a": {"command": "x",\n"enabled": "no"}}}',
            "2:1: mcpServers.a.enabled: input should be a valid boolean",
        ),
        (
            '{"mcpServers": {"a": {"command": "x",\n"header": {}}}}',
            "2:1: warning: mcpServers.a.header: is not a known setting and is ignored (did you mean 'headers'?)",
        ),
        (
            '{"messaging":\n{"enable": true}}',
            "2:2: warning: messaging.enable: is not a known setting and is ignored (did you mean 'enabled'?)",
        ),
        (
            '{"messaging": {"destinations": {"a": {"provider": "apprise", "url": "json://h",\n"chanel": "x"}}}}',
            "2:1: warning: messaging.destinations.a.chanel: is not a known setting and is ignored "
            "(did you mean 'channel'?)",
        ),
    ],
)
def test_types_are_strict_and_unknown_keys_are_found_at_every_level(
    run: Run, write: Callable[[str], Path], text: str, message: str
) -> None:
    path = write(text)
    done = run("config", "check")
    assert done.out == f"{path}:{message}\n"
    assert done.code == (0 if "warning" in message else 78)


def test_the_environment_is_checked_too(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_YOLO_MODE", "yes")
    monkeypatch.setenv("ML_INTERN_YOLO_MOD", "true")
    done = run("config", "check")
    assert (done.code, done.out.splitlines()) == (
        78,
        [
            "environment: ML_INTERN_YOLO_MODE: input should be a valid boolean",
            "environment: warning: the variable ML_INTERN_YOLO_MOD is unknown and ignored "
            "(did you mean ML_INTERN_YOLO_MODE?)",
        ],
    )
    monkeypatch.delenv("ML_INTERN_YOLO_MODE")
    assert run("config", "check").code == 0
    assert "ML_INTERN_YOLO_MOD is unknown" in run("doctor").out


def test_every_fault_has_its_line_and_column(run: Run, write: Callable[[str], Path]) -> None:
    path = write(FAULTS)
    done = run("config", "check")
    said = [line.removeprefix(f"{path}:") for line in done.out.splitlines()]
    assert done.code == 78
    expected = [
        ("2:3: max_iterations: must be 1 or more"),
        ("3:3: warning: modle_name: is not a known setting and is ignored (did you mean 'model_name'?)"),
        ("5:5: mcpServers.a: the url is not an http address"),
        ("6:5: mcpServers.b: a server needs either a command or a url"),
        ("7:43: mcpServers.c.headers.X: needs the variable NOT_SET_ANYWHERE, which is not set"),
        ("8:11: mcpServers.d.transport: the transport sse is no longer supported"),
        ("10:47: messaging.auto_event_types.1: input should be"),
        ("11:22: messaging.destinations.s: the slack destination needs channel"),
    ]
    assert [line[: len(one)] for line, one in zip(said, expected, strict=False)] == expected
    assert [line.partition(": ")[2][:18] for line in said[len(expected) :]] == [
        "warning: yolo_mode",
        "yolo_mode: input s",
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [('{"a": 1,\n }', "2:2"), ("", "1:1"), ("[]", "1:1"), ('{\n\n"a" 1}', "3:5")],
)
def test_what_is_no_json_object_is_said_with_its_place(
    run: Run, write: Callable[[str], Path], text: str, where: str
) -> None:
    path = write(text)
    done = run("config", "check", "--json")
    (fault,) = done.json
    assert done.code == 78
    assert (f"{fault['line']}:{fault['column']}", fault["file"]) == (where, str(path))


def test_places_are_found_in_nested_lists_and_strange_text() -> None:
    text = '\n{ "ü\\u0041" : [ 1 ,\n {"b":"}]"} ] , "c" : null }'
    positions = Positions.of(text)
    assert json.loads(text) == {"üA": [1, {"b": "}]"}], "c": None}
    assert positions.find(("üA", 1, "b")) == (3, 3)
    assert positions.find(("c",)) == (3, 17)
    assert positions.find(("nowhere", 1)) == (2, 1)
