"""Settings merged from layers, later ones winning: shipped, user, project, environment, --config, --set, options.

Types are checked strictly: a string is not a boolean or a number, unless it comes from a variable (configs/schema.py).
A folder changes no settings until the user trusts it (configs/trust.py).
"""

import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from ml_intern.configs.env import adopt_credentials, adopt_endpoints, is_endpoint, operators, read_env_files
from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.mcp_servers import DEFINES
from ml_intern.configs.schema import Json, KeyPath, fill, names_at, parse, unknown_keys
from ml_intern.configs.settings import WITHOUT_EFFECT, Settings
from ml_intern.configs.trust import MCP_FILE, PROJECT_FILE, advice_names, decision, folder_settings, is_trusted
from ml_intern.configs.user_files import saved_keys, user_settings_file
from ml_intern.configs.variables import messaging_from, settings_from, variable_notes

Values: TypeAlias = dict[str, Json]

HERE = Path(__file__).resolve().parent
SHIPPED = HERE / "cli_agent_config.json"
FRONTEND = HERE / "frontend_agent_config.json"
"""The defaults of Studio and of servers, used instead of SHIPPED."""
SHIPPED_SOURCE = "shipped"
COMMAND_LINE = "command line"
ASSIGNMENT = "--set"
ADDED_UP = ("permissions.", "hooks.")
"""Lists under these keys are concatenated: a later layer must not drop the rules and hooks of an earlier one."""

SERVERS = "mcpServers."
"""An entry under this key that defines a server replaces an earlier one: its headers must not go to another address."""


@dataclass(frozen=True)
class Layer:
    """The values of one source, and the name of the source for people."""

    source: str
    values: Values


@dataclass(frozen=True)
class Loaded:
    """The merged settings, the source of each value by dotted key, and notes to show once."""

    settings: Settings
    sources: Mapping[str, str]
    notes: tuple[str, ...]


def load(
    workspace: Path,
    *,
    config_file: str | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, Json] | None = None,
    defaults: Path = SHIPPED,
    trust: bool = False,
) -> Loaded:
    """Read every layer and return the settings.

    `.env` files provide values for ${NAME} and may set credentials in the environment. `options` are settings given
    as options on the command line, None where not given. `defaults` is the first layer: SHIPPED or FRONTEND.
    With `trust` the folder counts as trusted.

    Raises:
        ConfigurationError: a file cannot be read, is not a JSON object, names an unset variable or has a bad value.
        UsageError: the file of --config does not exist, or --set is not KEY=VALUE with a known key.
    """
    trusted = trust or is_trusted(workspace)
    known = _names_from_env_files(workspace, trusted=trusted)
    layers = [_file_layer(defaults, known)]
    if user := user_settings_file():
        layers.append(_file_layer(user, known))
    layers += _project_layers(workspace, known) if trusted else []
    layers.append(Layer("environment", messaging_from(known)))
    layers += [Layer(variable, values) for variable, values in settings_from(os.environ)]
    if config_file is not None:
        layers.append(_file_layer(_given_file(config_file), known))
    layers += [_assignment(text) for text in assignments]
    layers += [Layer(COMMAND_LINE, {key: value}) for key, value in (options or {}).items() if value is not None]
    return _loaded(layers, [*([] if trust else _project_note(workspace, trusted=trusted)), *variable_notes(os.environ)])


def overlaid(values: Values) -> Values:
    """Return the known settings of one file merged over the shipped ones."""
    known = {key: value for key, value in values.items() if key in Settings.model_fields}
    return _merge(_file_layer(SHIPPED, dict(os.environ)).values, known, "", {})


def names_for(workspace: Path, *, trust: bool = False) -> dict[str, str]:
    """Return the values for ${NAME} in this folder, and set the credentials of its .env file in the environment.

    With `trust` the folder counts as trusted.
    """
    return _names_from_env_files(workspace, trusted=trust or is_trusted(workspace))


def _names_from_env_files(workspace: Path, *, trusted: bool) -> dict[str, str]:
    """Return the values for ${NAME}. The .env file of an untrusted folder provides no endpoints."""
    folder = {name: value for name, value in read_env_files([workspace]).items() if trusted or not is_endpoint(name)}
    checkout = operators(read_env_files([HERE.parent] if (HERE.parent / "pyproject.toml").is_file() else []))
    saved = operators(saved_keys())
    values = {**saved, **checkout, **folder}
    adopt_credentials(values)
    adopt_endpoints({**saved, **folder})
    return {**values, **os.environ}


def _project_layers(workspace: Path, known: Mapping[str, str]) -> list[Layer]:
    """Return the MCP servers of the folder's .mcp.json, then the folder's settings."""
    servers, settings = workspace / MCP_FILE, workspace / PROJECT_FILE
    layers = list[Layer]()
    if servers.is_file():
        layer = _file_layer(servers, known)
        layers.append(Layer(layer.source, {"mcpServers": layer.values.get("mcpServers", {})}))
    if settings.is_file():
        layers.append(_file_layer(settings, known))
    return [_with_folder(layer, workspace) for layer in layers]


def _with_folder(layer: Layer, folder: Path) -> Layer:
    """Return a layer whose MCP servers run in the folder, unless they name another one."""
    servers = layer.values.get("mcpServers")
    if not isinstance(servers, Mapping):
        return layer
    placed = {
        name: {**one, "cwd": one.get("cwd") or str(folder)} if isinstance(one, Mapping) and "command" in one else one
        for name, one in servers.items()
    }
    return Layer(layer.source, {**layer.values, "mcpServers": placed})


def _given_file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"--config: no such file: {path}")
    return path


def _file_layer(path: Path, known: Mapping[str, str]) -> Layer:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"the settings file {path} is not valid JSON: {error}", "fix it") from error
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"the settings file {path} does not contain a JSON object", 'write {"model_name": "..."}'
        )
    source = SHIPPED_SOURCE if path in (SHIPPED, FRONTEND) else str(path)
    return Layer(source, {key: _expanded(value, (key,), path, known) for key, value in values.items()})


def _expanded(value: Json, key: KeyPath, path: Path, known: Mapping[str, str]) -> Json:
    if isinstance(value, dict):
        return {name: _expanded(inner, (*key, name), path, known) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expanded(inner, (*key, index), path, known) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return fill(value, key, known)
    except KeyError as error:
        name = error.args[0]
        raise ConfigurationError(
            f"{'.'.join(map(str, key))} in {path} needs the variable {name}, which is not set",
            f"set it, put it into .env, or write ${{{name}:-default}}",
        ) from error


def _assignment(text: str) -> Layer:
    key, equals, raw = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {text!r} is not KEY=VALUE", "for example --set model_params.temperature=0.2")
    if parts[0] not in Settings.model_fields and parts[0] not in WITHOUT_EFFECT:
        raise UsageError(f"--set: unknown setting {parts[0]!r}", _nearest(parts[0], Settings.model_fields))
    value = parse(raw, tuple(parts))
    for part in reversed(parts[1:]):
        value = {part: value}
    return Layer(ASSIGNMENT, {parts[0]: value})


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else "ml-intern config show lists them"


def _loaded(layers: Iterable[Layer], notes: list[str]) -> Loaded:
    merged: Values = {}
    sources: dict[str, str] = {}
    for layer in layers:
        notes += [note_about(path, layer.source) for path in unknown_keys(layer.values)]
        known = {key: value for key, value in layer.values.items() if key in Settings.model_fields}
        merged = _merge(merged, known, layer.source, sources)
    try:
        return Loaded(validated(merged), sources, tuple(notes))
    except ValidationError as error:
        raise _bad_value(error, sources) from error


def validated(values: Values) -> Settings:
    """Check the values strictly and return the settings. Raises ValidationError."""
    return Settings.model_validate_json(json.dumps(values), strict=True)


def note_about(path: KeyPath, source: str) -> str:
    """Return the note about a key that is unknown or has no effect."""
    key = ".".join(map(str, path))
    if key in WITHOUT_EFFECT:
        return f"{key} in {source} has no effect: {WITHOUT_EFFECT[key]}"
    return f"{key} in {source} is not a known setting and is ignored ({_nearest(str(path[-1]), names_at(path))})"


def _merge(base: Values, over: Values, source: str, sources: dict[str, str], prefix: str = "") -> Values:
    """Merge objects key by key, concatenate rules, replace everything else. Record the source of each value."""
    merged = dict(base)
    for key, value in over.items():
        path, before = f"{prefix}{key}", merged.get(key)
        if prefix == SERVERS and isinstance(value, dict) and DEFINES & value.keys():
            _forget(path, sources)
            before = None
        if isinstance(value, dict):
            sources[path] = source if not isinstance(before, dict) or not before else sources.get(path, source)
            merged[key] = _merge(before if isinstance(before, dict) else {}, value, source, sources, f"{path}.")
        elif isinstance(value, list) and isinstance(before, list) and path.startswith(ADDED_UP):
            merged[key], sources[path] = [*before, *value], source if value else sources[path]
        else:
            merged[key], sources[path] = value, source
    return merged


def _forget(path: str, sources: dict[str, str]) -> None:
    for below in [one for one in sources if one.startswith(f"{path}.")]:
        del sources[below]


def _bad_value(error: ValidationError, sources: Mapping[str, str]) -> ConfigurationError | UsageError:
    first = error.errors(include_url=False, include_context=False)[0]
    parts = [str(part) for part in first["loc"]]
    source = next(
        (sources[path] for end in range(len(parts), 0, -1) if (path := ".".join(parts[:end])) in sources), "settings"
    )
    message = first["msg"].removeprefix("Value error, ")
    kind = UsageError if source in (COMMAND_LINE, ASSIGNMENT) else ConfigurationError
    return kind(f"{'.'.join(parts)} in {source}: {message[:1].lower()}{message[1:]}", "fix the value")


def _project_note(workspace: Path, *, trusted: bool) -> list[str]:
    remedy = "run `ml-intern trust` there, or add --trust for one run"
    if trusted:
        changed = decision(workspace) is None
        names = ", ".join(advice_names(workspace))
        return [f"{names} ignored: changed since you trusted the folder ({remedy})"] if changed and names else []
    things = folder_settings(workspace).things
    if not things:
        return []
    return [f"{', '.join(things)} ignored: folder not trusted ({remedy})"]
