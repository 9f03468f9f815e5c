"""The layers of settings: which wins, where a value is from, and how errors name key and file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.layers import HERE, SHIPPED, Loaded, load
from ml_intern.configs.settings import WITHOUT_EFFECT, Settings

SLACK = ("SLACK_BOT_TOKEN", "SLACK_CHANNEL_ID", "ML_INTERN_SLACK_NOTIFICATIONS", "ML_INTERN_SLACK_DESTINATION")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*SLACK, "ML_INTERN_CLI_CONFIG", "NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def write(home: Path) -> Callable[..., Path]:
    def write(name: str = "cli_agent_config.json", **values: object) -> Path:
        (home / name).write_text(json.dumps(values))
        return home / name

    return write


def loaded(workspace: Path, **given: object) -> Loaded:
    return load(workspace, **given)  # type: ignore[arg-type]


def test_the_shipped_file_holds_every_setting_and_its_default(tmp_path: Path) -> None:
    assert set(json.loads(SHIPPED.read_text())) == set(Settings.model_fields)
    result = loaded(tmp_path)
    assert result.settings == Settings()
    assert set(result.sources.values()) == {"shipped"}
    assert result.notes == ()


def test_the_frontend_file_is_a_valid_settings_file(tmp_path: Path) -> None:
    result = loaded(tmp_path, config_file=str(HERE / "frontend_agent_config.json"))
    assert result.settings.model_name == Settings().model_name


def test_each_layer_beats_the_one_below_and_is_named_as_source(tmp_path: Path, write: Callable[..., Path]) -> None:
    user = write(model_name="user/a", max_iterations=7, yolo_mode=True, model_params={"temperature": 1, "top_p": 1})
    given = tmp_path / "given.json"
    given.write_text('{"max_iterations": 8, "model_params": {"temperature": 0.5}}')
    result = loaded(
        tmp_path,
        config_file=str(given),
        assignments=["model_params.seed=3"],
        options={"model_name": "option/b", "max_iterations": None},
    )
    assert result.settings.model_name == "option/b"
    assert result.settings.max_iterations == 8
    assert result.settings.yolo_mode is True
    assert result.settings.model_params == {"temperature": 0.5, "top_p": 1, "seed": 3}
    assert result.sources["model_name"] == "command line"
    assert result.sources["max_iterations"] == str(given)
    assert result.sources["yolo_mode"] == str(user)
    assert result.sources["model_params.top_p"] == str(user)
    assert result.sources["model_params.seed"] == "--set"
    assert result.sources["save_sessions"] == "shipped"


def test_the_rules_of_every_layer_hold(tmp_path: Path, write: Callable[..., Path]) -> None:
    user = write(permissions={"deny": ["bash(git push)"], "allow": ["bash(make)"]})
    given = tmp_path / "given.json"
    given.write_text('{"permissions": {"deny": [], "allow": [{"command": "pytest"}]}}')
    result = loaded(tmp_path, config_file=str(given))
    assert result.settings.permissions.deny == ("bash(git push)",)
    assert result.settings.permissions.allow == ("bash(make)", {"command": "pytest"})
    assert result.sources["permissions.deny"] == str(user)
    with pytest.raises(UsageError, match=r"permissions\.alow"):
        loaded(tmp_path, assignments=["permissions.alow=[]"])


def test_an_existing_users_file_works_unchanged(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(
        model_name="anthropic/claude-opus-4-6",
        save_sessions=True,
        session_dataset_repo="smolagents/ml-intern-sessions",
        share_traces=True,
        personal_trace_repo_template="{hf_user}/ml-intern-sessions",
        yolo_mode=False,
        confirm_cpu_jobs=True,
        auto_file_upload=True,
        auto_save_interval=1,
        heartbeat_interval_s=60,
        tool_runtime="local",
        messaging={"enabled": False, "auto_event_types": ["error"], "destinations": {}},
        mcpServers={"hf-mcp-server": {"transport": "http", "url": "https://huggingface.co/mcp?login"}},
    )
    result = loaded(tmp_path)
    assert result.settings.mcpServers["hf-mcp-server"].transport == "http"
    assert result.settings.messaging.auto_event_types == ("error",)
    assert len(result.notes) == len(WITHOUT_EFFECT)
    assert all("has no effect" in note for note in result.notes)


def test_the_older_file_name_is_read_when_the_newer_is_missing(tmp_path: Path, write: Callable[..., Path]) -> None:
    write("main_agent_config.json", max_iterations=5)
    assert loaded(tmp_path).settings.max_iterations == 5
    write("cli_agent_config.json", max_iterations=6)
    assert loaded(tmp_path).settings.max_iterations == 6


def test_a_variable_names_the_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.json").write_text('\ufeff{"max_iterations": "${NAME:-9}"}', encoding="utf-8")
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(tmp_path / "mine.json"))
    assert loaded(tmp_path).settings.max_iterations == 9
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(tmp_path / "gone.json"))
    with pytest.raises(ConfigurationError, match=r"ML_INTERN_CLI_CONFIG: no such file: .*gone\.json"):
        loaded(tmp_path)


def test_an_unknown_key_is_said_and_does_no_harm(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(modle_name="x")
    (note,) = loaded(tmp_path).notes
    assert "modle_name" in note
    assert "did you mean 'model_name'?" in note


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_iterations": 0}, r"max_iterations in .*cli_agent_config\.json: must be 1 or more, or -1"),
        ({"max_iterations": "many"}, r"max_iterations in .*cli_agent_config\.json: input should be a valid integer"),
        ({"yolo_mode": "perhaps"}, r"yolo_mode in .*cli_agent_config\.json"),
        ({"tool_runtime": "cloud"}, r"tool_runtime in .*cli_agent_config\.json: input should be 'local' or 'sandbox'"),
        ({"messaging": {"enabled": []}}, r"messaging\.enabled in .*cli_agent_config\.json"),
        ({"mcpServers": {"a": "b"}}, r"mcpServers\.a in .*cli_agent_config\.json"),
        ({"model_name": None}, r"model_name in .*cli_agent_config\.json"),
        ({"messaging": None}, r"messaging in .*cli_agent_config\.json"),
    ],
)
def test_a_bad_value_is_an_error_that_names_key_and_file(
    tmp_path: Path, write: Callable[..., Path], values: dict[str, object], said: str
) -> None:
    write(**values)
    with pytest.raises(ConfigurationError, match=said):
        loaded(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "1", '{"a": 1,}', "null"])
def test_a_file_that_is_no_json_object_is_an_error_that_names_it(tmp_path: Path, home: Path, text: str) -> None:
    (home / "cli_agent_config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"cli_agent_config\.json"):
        loaded(tmp_path)


def test_an_unset_variable_is_an_error_that_names_key_file_and_variable(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    write(messaging={"destinations": {"slack.ops": {"token": "${NAME}"}}})
    with pytest.raises(ConfigurationError, match=r"messaging\.destinations\.slack\.ops\.token in .*json needs .* NAME"):
        loaded(tmp_path)


def test_env_files_fill_references_and_what_is_set_wins(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(model_name="${NAME}")
    (tmp_path / ".env").write_text("NAME=a/file")
    assert loaded(tmp_path).settings.model_name == "a/file"
    monkeypatch.setenv("NAME", "a/set")
    assert loaded(tmp_path).settings.model_name == "a/set"


@pytest.mark.parametrize("name", ["MY_URL", "LOCAL_LLM_BASE_URL", "ANTHROPIC_API_BASE", "HF_ENDPOINT", "HTTPS_PROXY"])
def test_a_folders_env_file_gives_no_endpoint(tmp_path: Path, write: Callable[..., Path], name: str) -> None:
    write(mcpServers={"a": {"url": f"${{{name}:-https://mine}}"}})
    (tmp_path / ".env").write_text(f"{name}=https://evil")
    assert loaded(tmp_path).settings.mcpServers["a"].url == "https://mine"


def test_a_projects_own_file_is_ignored_and_said(tmp_path: Path) -> None:
    (tmp_path / ".ml-intern").mkdir()
    (tmp_path / ".ml-intern" / "cli_agent_config.json").write_text('{"yolo_mode": true}')
    result = loaded(tmp_path)
    assert result.settings.yolo_mode is False
    assert result.notes == (
        "the settings in .ml-intern/cli_agent_config.json (yolo_mode) ignored: folder not trusted "
        "(run `ml-intern trust` there, or add --trust for one run)",
    )


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("max_iterations=3", "max_iterations", 3),
        ("model_name=a/b", "model_name", "a/b"),
        ("reasoning_effort=null", "reasoning_effort", None),
        ("model_params.a.b=[1]", "model_params", {"a": {"b": [1]}}),
    ],
)
def test_set_takes_json_or_plain_text(tmp_path: Path, text: str, key: str, value: object) -> None:
    assert getattr(loaded(tmp_path, assignments=[text]).settings, key) == value


@pytest.mark.parametrize("text", ["max_iterations", "=3", "a..b=1", "max_iteration=3", "nonsense=1"])
def test_set_refuses_what_is_no_setting(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        loaded(tmp_path, assignments=[text])


@pytest.mark.parametrize("text", ["max_iterations=many", "sandbox.network=maybe", "model_params=3"])
def test_set_refuses_a_bad_value_like_an_unknown_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=f"{text.partition('=')[0]} in --set"):
        loaded(tmp_path, assignments=[text])


def test_config_that_names_no_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json"):
        loaded(tmp_path, config_file=str(tmp_path / "gone.json"))


def test_slack_variables_make_a_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-fake")
    monkeypatch.setenv("SLACK_CHANNEL_ID", "C1")
    messaging = loaded(tmp_path).settings.messaging
    assert messaging.enabled
    assert messaging.destinations["slack.default"].channel == "C1"
    monkeypatch.setenv("ML_INTERN_SLACK_DESTINATION", "slack.ops")
    assert list(loaded(tmp_path).settings.messaging.destinations) == ["slack.ops"]
    monkeypatch.setenv("ML_INTERN_SLACK_NOTIFICATIONS", "false")
    assert not loaded(tmp_path).settings.messaging.enabled
