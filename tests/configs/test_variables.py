"""Environment variables of the settings: one for each, one rule for their values, notes on those that do not exist."""

import json
import re
from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.layers import load
from ml_intern.configs.schema import Json, settings_rows
from ml_intern.configs.settings import Settings
from ml_intern.configs.variables import PROGRAM_VARIABLES, setting_variables, variable_notes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ML_INTERN_CLI_CONFIG", raising=False)
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_every_setting_has_one_variable_of_its_own() -> None:
    variables = setting_variables()
    rows = [(key.strip("`"), variable.strip("`")) for key, variable, _, _ in settings_rows()]
    assert {variable: ".".join(map(str, path)) for variable, path in variables.items()} == {
        variable: key for key, variable in rows if variable
    }
    assert [key for key, variable in rows if not variable and ".NAME" not in key] == []
    assert {path[0] for path in variables.values()} == set(Settings.model_fields)
    assert all(re.fullmatch(r"ML_INTERN(_[A-Z]+)+", variable) for variable in variables)
    assert not variables.keys() & PROGRAM_VARIABLES.keys()


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("ML_INTERN_MODEL_NAME", "a/b", "model_name", "a/b"),
        ("ML_INTERN_MODEL_NAME", "5", "model_name", "5"),
        ("ML_INTERN_MAX_ITERATIONS", "-1", "max_iterations", -1),
        ("ML_INTERN_YOLO_MODE", "true", "yolo_mode", True),
        ("ML_INTERN_REASONING_EFFORT", "null", "reasoning_effort", None),
        ("ML_INTERN_REASONING_EFFORT", "off", "reasoning_effort", "off"),
        ("ML_INTERN_SHARE_TRACES", "private", "share_traces", "private"),
        ("ML_INTERN_SHARE_TRACES", "true", "share_traces", True),
        ("ML_INTERN_SANDBOX_NETWORK", "off", "sandbox.network", "off"),
        ("ML_INTERN_SANDBOX_ENABLED", "false", "sandbox.enabled", False),
        ("ML_INTERN_WEB_PRIVATE_HOSTS", '["a:1"]', "web.private_hosts", ["a:1"]),
        ("ML_INTERN_MODEL_PARAMS", '{"temperature": 0.5}', "model_params", {"temperature": 0.5}),
        ("ML_INTERN_MCP_SERVERS", '{"a": {"command": "x"}}', "mcpServers.a", {"command": "x"}),
    ],
)
def test_a_value_is_json_where_that_fits_and_text_otherwise(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, key: str, value: object
) -> None:
    (home / "cli_agent_config.json").write_text('{"reasoning_effort": "low", "max_iterations": 9}')
    monkeypatch.setenv(variable, text)
    loaded = load(tmp_path)
    found = loaded.settings.model_dump(mode="json")
    for part in key.split("."):
        found = found[part]
    assert found == value
    assert variable in {loaded.sources.get(key), loaded.sources.get(f"{key}.temperature")}
    assert loaded.notes == ()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("ML_INTERN_YOLO_MODE", "yes", "yolo_mode in ML_INTERN_YOLO_MODE: input should be a valid boolean"),
        ("ML_INTERN_YOLO_MODE", "1", "yolo_mode in ML_INTERN_YOLO_MODE: input should be a valid boolean"),
        ("ML_INTERN_MAX_ITERATIONS", "many", "max_iterations in ML_INTERN_MAX_ITERATIONS: input should be a valid int"),
        ("ML_INTERN_MAX_ITERATIONS", "0", "max_iterations in ML_INTERN_MAX_ITERATIONS: must be 1 or more"),
        (
            "ML_INTERN_MCP_SERVERS",
            '{"a": {"command": "x", "enabled": "no"}}',
            "mcpServers.a.enabled in ML_INTERN_MCP_SERVERS: input should be a valid boolean",
        ),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load(tmp_path)


def test_variables_stand_between_the_files_and_the_options(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "cli_agent_config.json").write_text('{"max_iterations": 9, "permissions": {"deny": ["bash(rm)"]}}')
    monkeypatch.setenv("ML_INTERN_MAX_ITERATIONS", "10")
    monkeypatch.setenv("ML_INTERN_PERMISSIONS_DENY", '["bash(git push)"]')
    loaded = load(tmp_path)
    assert loaded.settings.max_iterations == 10
    assert loaded.settings.permissions.deny == ("bash(rm)", "bash(git push)")
    assert load(tmp_path, assignments=["max_iterations=11"]).settings.max_iterations == 11


def test_an_empty_variable_and_one_of_an_env_file_set_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_MAX_ITERATIONS", "")
    (tmp_path / ".env").write_text("ML_INTERN_YOLO_MODE=true\n")
    settings = load(tmp_path, trust=True).settings
    assert (settings.max_iterations, settings.yolo_mode) == (Settings().max_iterations, False)


def test_unknown_variables_are_noted_with_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_MODLE_NAME", "x")
    monkeypatch.setenv("ML_INTERN_ARTIFACT_COLLECTION_CACHE", "x")
    notes = load(tmp_path).notes
    assert notes[0].startswith("the variable ML_INTERN_ARTIFACT_COLLECTION_CACHE has no effect: ")
    assert notes[1].endswith("is unknown and ignored (did you mean ML_INTERN_MODEL_NAME?)")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ML_INTERN_SLACK_CHANNEL", "did you mean SLACK_CHANNEL?"),
        ("ML_INTERN_SLACK_TOKEN", "did you mean SLACK_BOT_TOKEN?"),
        ("ML_INTERN_SLACK_AUTOEVENTS", "did you mean ML_INTERN_SLACK_AUTO_EVENTS?"),
        ("ML_INTERN_MODEL", "did you mean ML_INTERN_MODEL_NAME?"),
        ("ML_INTERN_MAX_BUDGET_USD", "docs/reference/environment.md lists them"),
    ],
)
def test_a_suggestion_is_about_the_same_subject(name: str, remedy: str) -> None:
    assert variable_notes({name: "x"}) == [f"the variable {name} is unknown and ignored ({remedy})"]


@pytest.mark.parametrize("price", ["abc", True, -1, None, [1]])
def test_a_bad_price_is_named_by_its_key_with_what_is_expected(tmp_path: Path, price: Json) -> None:
    with pytest.raises(UsageError) as refused:
        load(tmp_path, assignments=[f"prices={json.dumps({'vllm/m': price})}"])
    assert str(refused.value).startswith("prices.vllm/m in --set: must be US dollars per million tokens: a number")


def test_a_bad_rate_is_named_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"prices.vllm/m.output in --set: input should be greater than or equal to 0"):
        load(tmp_path, assignments=['prices={"vllm/m": {"input": 1, "output": -1}}'])


def test_one_price_is_the_price_of_every_kind_of_token(tmp_path: Path) -> None:
    one = load(tmp_path, assignments=['prices={"vllm/m": 2}']).settings.named_prices
    assert one == load(tmp_path, assignments=['prices={"vllm/m": {"input": 2, "output": 2}}']).settings.named_prices


def test_a_reference_as_a_whole_is_read_like_a_variable_other_text_is_not(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAG", "true")
    servers = {"a": {"command": "x", "args": ["${FLAG}", "-${FLAG}"], "timeout_s": "${LIMIT:-5}"}}
    (home / "cli_agent_config.json").write_text(json.dumps({"yolo_mode": "${FLAG:-false}", "mcpServers": servers}))
    settings = load(tmp_path).settings
    assert settings.yolo_mode is True
    assert (settings.mcpServers["a"].args, settings.mcpServers["a"].timeout_s) == (("true", "-true"), 5.0)
    (home / "cli_agent_config.json").write_text('{"yolo_mode": "true"}')
    with pytest.raises(ConfigurationError, match=r"yolo_mode in .*: input should be a valid boolean"):
        load(tmp_path)
