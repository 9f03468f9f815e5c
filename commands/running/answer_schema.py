"""--output-schema: the final answer must be JSON that matches a schema; the model is told so, and corrected twice."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import UsageError

MAX_CORRECTIONS = 2
_SHOWN = 2_000


@dataclass(frozen=True)
class AnswerSchema:
    """A JSON schema that was checked to be one."""

    schema: dict[str, Any]

    @classmethod
    def read(cls, path: str) -> "AnswerSchema":
        """Read the file. UsageError when it is missing, no JSON, or no schema."""
        from jsonschema import SchemaError
        from jsonschema.validators import validator_for

        try:
            schema = json.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UsageError(f"--output-schema cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"--output-schema {path} is no valid JSON: {error}") from error
        try:
            if not isinstance(schema, dict):
                raise UsageError(f"--output-schema {path} holds no JSON object")
            validator_for(schema).check_schema(schema)
        except SchemaError as error:
            raise UsageError(f"--output-schema {path} is no JSON schema: {error.message}") from error
        return cls(schema)

    def instruct(self, prompt: str) -> str:
        """The prompt, with what the final answer has to look like."""
        shape = json.dumps(self.schema, ensure_ascii=False)
        return f"{prompt}\n\nYour final answer must be one JSON value and nothing else, matching this schema:\n{shape}"

    def correction(self, problem: str) -> str:
        """What the model is told when its answer does not match."""
        return (
            f"Your final answer does not match the JSON schema: {problem[:_SHOWN]}\n"
            "Answer again with the JSON value alone: no words around it, no fence."
        )

    def check(self, answer: str) -> tuple[str, str]:
        """The JSON text of the answer, without a fence around it, and what is wrong with it ("" when nothing is)."""
        from jsonschema import ValidationError
        from jsonschema.validators import validator_for

        text = _unfenced(answer.strip())
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
            validator_for(self.schema)(self.schema).validate(value)
        except ValidationError as error:
            return text, f"{error.json_path}: {error.message}"
        except ValueError as error:
            return text, f"it is not JSON: {error}"
        return text, ""


def _unfenced(text: str) -> str:
    if not (text.startswith("```") and text.endswith("```") and "\n" in text):
        return text
    return text.split("\n", 1)[1].rsplit("```", 1)[0].strip()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")
