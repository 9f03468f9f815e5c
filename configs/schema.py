"""The schema of the settings: every key with type and meaning, text parsed for a key, keys that do not exist."""

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import TypeIs

from ml_intern.configs.env import expand
from ml_intern.configs.settings import Settings

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
KeyPath: TypeAlias = tuple[str | int, ...]
VARIABLE_PREFIX = "ML_INTERN_"
_REFERENCE = re.compile(r"\$\{[^}]*\}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def setting_keys(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every setting that a variable can set: all but those below a name the user chooses."""
    for name, field in model.model_fields.items():
        if isinstance(inner := field.annotation, type) and issubclass(inner, BaseModel):
            yield from setting_keys(inner, (*path, name))
        else:
            yield (*path, name)


def variable_of(path: Sequence[str]) -> str:
    """Return the environment variable of a setting: ML_INTERN_ and its path in capitals, words joined by _."""
    return VARIABLE_PREFIX + "_".join(_CAMEL.sub("_", part) for part in path).upper()


def settings_rows(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str, str]]:
    """Yield one row per setting for the documentation: key, variable, default, and the field's docstring."""
    meanings, variables = _meanings(model), set(setting_keys())
    for name, field in model.model_fields.items():
        inner, here = field.annotation, (*path, name)
        if _is_model(inner):
            yield from settings_rows(inner, here)
            continue
        variable = f"`{variable_of(here)}`" if here in variables else ""
        below = _type_below(inner, "NAME")
        yield f"`{'.'.join(here)}`", variable, "" if _is_model(below) else _default(field), meanings.get(name, "")
        if _is_model(below):
            yield from settings_rows(below, (*here, "NAME"))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    return f"`{json.dumps(field.get_default(call_default_factory=True), ensure_ascii=False)}`"


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field, in one line."""
    (found,) = ast.parse(inspect.getsource(model)).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    docstrings: dict[str, str] = {}
    for before, after in pairwise(body):
        if not isinstance(before, ast.AnnAssign) or not isinstance(before.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            docstrings[before.target.id] = " ".join(after.value.value.split())
    return docstrings


def parse(text: str, path: KeyPath) -> Json:
    """Return the value that text from a variable or --set has for a setting: JSON if that fits it, otherwise the text.

    Text that does not match is returned as it is, so that the check of all settings names the problem.
    """
    adapter = TypeAdapter[Any](_type_at(path))
    try:
        adapter.validate_json(text, strict=True)
    except ValidationError:
        structured = text.startswith(("{", "[")) and not _fits(adapter, text)
        return _json_or_text(text) if structured else text
    value: Json = json.loads(text)
    return value


def fill(text: str, path: KeyPath, known: Mapping[str, str]) -> Json:
    """Replace ${NAME} in the text of a setting. Text that is nothing but a reference is parsed as `parse` does.

    Raises:
        KeyError: a name has neither a value nor a default.
    """
    value = expand(text, known)
    return parse(value, path) if _REFERENCE.fullmatch(text) else value


def unknown_keys(values: Mapping[str, Any]) -> Iterator[KeyPath]:
    """Yield the path of every key that no setting has. Keys that validation rejects are not among them."""
    yield from ((key,) for key in values if key not in Settings.model_fields)
    for name, value in values.items():
        if name in Settings.model_fields:
            yield from _unknown_below(value, Settings.model_fields[name].annotation, (name,))


def names_at(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that exist beside the one at `path`."""
    inner = _type_at(path[:-1])
    return _accepted(inner) if _is_model(inner) else ()


def _unknown_below(value: Any, inner: Any, path: KeyPath) -> Iterator[KeyPath]:
    if not isinstance(value, Mapping):
        return
    if get_origin(inner) is dict:
        for key, below in value.items():
            yield from _unknown_below(below, get_args(inner)[1], (*path, key))
    elif _is_model(inner) and inner.model_config.get("extra") != "forbid":
        for key, below in value.items():
            if key not in _accepted(inner):
                yield (*path, key)
            elif key in inner.model_fields:
                yield from _unknown_below(below, inner.model_fields[key].annotation, (*path, key))


def _accepted(model: Any) -> tuple[str, ...]:
    """Return the keys of a model, aliases included."""
    aliases = (field.validation_alias for field in model.model_fields.values())
    more = (str(name) for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices)
    return tuple(dict.fromkeys((*model.model_fields, *more)))


def _is_model(inner: Any) -> TypeIs[type[BaseModel]]:
    return isinstance(inner, type) and issubclass(inner, BaseModel)


def _type_at(path: KeyPath) -> Any:
    """Return the type of the value at `path`; Any where it is free or does not exist."""
    inner: Any = Settings
    for part in path:
        inner = _type_below(inner, part)
    return inner


def _type_below(inner: Any, part: str | int) -> Any:
    if _is_model(inner):
        field = inner.model_fields.get(str(part))
        return field.annotation if field else Any
    origin, args = get_origin(inner), get_args(inner)
    if origin in (dict, tuple, list):
        return args[1] if origin is dict else args[0]
    return Any


def _fits(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


def _json_or_text(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value
