"""Sweeps: the runs of one script or command with different values of its parameters."""

import itertools
import math
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolArgs

MAX_RUNS = 100
Value = str | int | float | bool
Values = Mapping[str, Value]
"""The value of each parameter in one run."""


class ValueRange(ToolArgs):
    """A range to sample from. Two integers give integers."""

    low: int | float
    high: int | float
    log: bool = Field(False, description="Sample uniformly on a logarithmic scale.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("a range needs low < high, and low > 0 on a logarithmic scale")
        return self

    def sample(self, source: random.Random) -> int | float:
        """Return a value of the range."""
        if self.log:
            found = math.exp(source.uniform(math.log(self.low), math.log(self.high)))
        else:
            found = source.uniform(self.low, self.high)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return round(found)
        return float(f"{found:.6g}")


Choices = list[Value] | ValueRange
"""The values of one parameter."""


def variants(parameters: Mapping[str, Choices], samples: int, seed: int) -> list[Values]:
    """Return the values of each run: every combination, or `samples` different random ones. Raises ToolError."""
    if not parameters or any(choices == [] for choices in parameters.values()):
        raise ToolError("sweep requires parameters, each with at least one value")
    found = list(itertools.islice(_sampled(parameters, samples, seed) if samples else _grid(parameters), MAX_RUNS + 1))
    if len(found) > MAX_RUNS:
        raise ToolError(f"the sweep has more than {MAX_RUNS} runs; use fewer values, or samples")
    return found


def _grid(parameters: Mapping[str, Choices]) -> Iterator[Values]:
    lists = []
    for name, choices in parameters.items():
        if isinstance(choices, ValueRange):
            raise ToolError(f"{name} is a range: set samples to the number of runs, or list its values")
        lists.append(choices)
    for values in itertools.product(*lists):
        yield dict(zip(parameters, values, strict=True))


def _sampled(parameters: Mapping[str, Choices], samples: int, seed: int) -> Iterator[Values]:
    source, seen = random.Random(seed), set[tuple[Any, ...]]()  # noqa: S311  no secret depends on it
    for _ in range(samples * 50):
        if len(seen) == samples:
            return
        values = {
            name: choices.sample(source) if isinstance(choices, ValueRange) else source.choice(choices)
            for name, choices in parameters.items()
        }
        if tuple(values.values()) not in seen:
            seen.add(tuple(values.values()))
            yield values


def filled(text: str, values: Values, *, quote: bool) -> str:
    """Return `text` with the value in place of each {NAME}, quoted for a shell if asked. Other braces stay."""
    for name, value in values.items():
        shown = _shown(value)
        text = text.replace(f"{{{name}}}", shlex.quote(shown) if quote else shown)
    return text


def names_in(texts: Sequence[str], parameters: Mapping[str, Choices]) -> list[str]:
    """Return the parameters that have a place {NAME} in one of the texts."""
    return [name for name in parameters if any(f"{{{name}}}" in text for text in texts)]


def options_of(values: Values, placed: Sequence[str]) -> list[str]:
    """Return the parameters without a place as options of a script: --name value."""
    return [word for name, value in values.items() if name not in placed for word in (f"--{name}", _shown(value))]


def title(values: Values) -> str:
    """Return the values as a name for lists: "lr=0.1 layers=2"."""
    return " ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
