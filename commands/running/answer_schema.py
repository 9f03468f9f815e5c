"""--output-schema: the final answer must be JSON that matches a schema. The model gets two corrections."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import UsageError

MAX_CORRECTIONS = 2
_MAX_PROBLEM = 2_000


@dataclass(frozen=True)
class AnswerSchema:
    """A valid JSON schema for the final answer."""

    schema: dict[str, Any]

    @classmethod
    def read(cls, path: str) -> "AnswerSchema":
        """Read the file. Raises UsageError when it is missing, not JSON or not a JSON schema."""
        from jsonschema import SchemaError
        from jsonschema.validators import validator_for

        try:
            schema = json.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UsageError(f"--output-schema cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"--output-schema {path} is not valid JSON: {error}") from error
        try:
            if not isinstance(schema, dict):
                raise UsageError(f"--output-schema {path} is not a JSON object")
            validator_for(schema).check_schema(schema)
        except SchemaError as error:
            raise UsageError(f"--output-schema {path} is not a valid JSON schema: {error.message}") from error
        return cls(schema)

    def instruct(self, prompt: str) -> str:
        """Return the prompt followed by the schema of the final answer."""
        shape = json.dumps(self.schema, ensure_ascii=False)
        return f"{prompt}\n\nYour final answer must be one JSON value and nothing else, matching this schema:\n{shape}"

    def correction(self, problem: str) -> str:
        """Return the message for the model when its answer does not match."""
        return (
            f"Your final answer does not match the JSON schema: {problem[:_MAX_PROBLEM]}\n"
            "Answer again with the JSON value alone: no surrounding text, no code fence."
        )

    def check(self, answer: str) -> tuple[str, str]:
        """Return the JSON text of the answer without its code fence, and the problem with it ("" when it matches)."""
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
    raise ValueError(f"{name} is not a JSON value")
