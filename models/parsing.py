"""Strict parsing of model output: JSON arguments of calls, counts, and text without lone surrogates."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

MAX_CALLS = 100
"""Maximum of calls that run per reply; the others get an error result."""
RAW_SHOWN = 500
MAX_TOKENS = 10**12
"""Larger counts are treated as invalid: the ledger could not add them."""
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
_MAX_DIGITS = 21


class InvalidArguments(ValueError):
    """The arguments of a call are not a strict JSON object. The text is the parser's message."""


def parse_arguments(raw: str) -> dict[str, Any]:
    """Parse the JSON object in `raw`; blank text is an empty object.

    Raises InvalidArguments on anything a checkpoint cannot store or an incomplete stream can leave: truncated or
    trailing text, NaN, Infinity, numbers beyond 64 bits, values that are not an object.
    """
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_refuse_constant, parse_int=_small_int, parse_float=_finite_float)
    except RecursionError as error:
        raise InvalidArguments("the arguments are nested too deeply") from error
    except ValueError as error:
        raise InvalidArguments(f"the arguments are not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArguments(f"the arguments must be a JSON object, not {_json_name(value)}")
    cleaned: dict[str, Any] = clean_json(value)
    return cleaned


def mapping_of(value: object) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for any other value."""
    return value if isinstance(value, Mapping) else {}


def count_of(value: object) -> int:
    """Return a number of tokens; 0 for any other value."""
    return value if isinstance(value, int) and 0 < value < MAX_TOKENS else 0


def clean_text(text: str) -> str:
    """Return `text` with surrogate pairs joined and lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_json(value: Any) -> Any:
    """Apply clean_text to every string in `value`."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): clean_json(item) for key, item in value.items()}
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _small_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or not _MIN_INT <= int(digits) <= _MAX_INT:
        raise ValueError(f"the number {digits[:_MAX_DIGITS]} does not fit in 64 bits")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:_MAX_DIGITS]} is too large")
    return value


def _json_name(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
