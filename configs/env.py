"""What `.env` files and the environment may say: credentials by known names, and values for ${NAME} in settings."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from configs.errors import ConfigurationError

CREDENTIALS: dict[str, str] = {
    "ANTHROPIC_API_KEY": "Anthropic",
    "OPENAI_API_KEY": "OpenAI, or the endpoint of --base-url",
    "HF_TOKEN": "Hugging Face: the Hub and its inference router",
    "GEMINI_API_KEY": "Google Gemini",
    "GOOGLE_API_KEY": "Google Gemini",
    "OPENROUTER_API_KEY": "OpenRouter",
    "DEEPSEEK_API_KEY": "DeepSeek",
    "MISTRAL_API_KEY": "Mistral",
    "GROQ_API_KEY": "Groq",
    "XAI_API_KEY": "xAI",
    "TOGETHERAI_API_KEY": "Together",
    "TOGETHER_API_KEY": "Together",
    "FIREWORKS_API_KEY": "Fireworks",
    "FIREWORKS_AI_API_KEY": "Fireworks",
    "CEREBRAS_API_KEY": "Cerebras",
    "COHERE_API_KEY": "Cohere",
    "NVIDIA_NIM_API_KEY": "NVIDIA NIM",
    "PERPLEXITYAI_API_KEY": "Perplexity",
    "MOONSHOT_API_KEY": "Moonshot",
    "ZAI_API_KEY": "Z.ai",
    "AZURE_API_KEY": "Azure",
    "LOCAL_LLM_API_KEY": "a local server",
    "GITHUB_TOKEN": "GitHub",
    "SLACK_BOT_TOKEN": "Slack",
    "SLACK_CHANNEL_ID": "Slack",
}
"""Names that a .env file may put into the environment. Endpoints are not among them: a folder must not redirect a key."""

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_REFERENCE = re.compile(r"\$\{([^}:]+)(?::-([^}]*))?\}")
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def parse_env_file(text: str) -> dict[str, str]:
    """The names and values of a .env file. Comments, `export` and quotes are understood; other lines are passed over."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match:
            found[match[1]] = _value(match[2])
    return found


def _value(raw: str) -> str:
    quoted = re.match(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", raw)
    if not quoted:
        return re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].strip()
    if quoted[1] is not None:
        return quoted[1]
    return re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], escape[0]), quoted[2])


def read_env_files(folders: Iterable[Path]) -> dict[str, str]:
    """The values of the folders' .env files; a name in an earlier folder wins. A file that cannot be read is an error."""
    values: dict[str, str] = {}
    for folder in folders:
        path = folder / ".env"
        if path.is_file():
            values = {**_read(path), **values}
    return values


def _read(path: Path) -> dict[str, str]:
    try:
        return parse_env_file(path.read_text(encoding="utf-8-sig", errors="replace"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "make it readable or remove it") from error


def adopt_credentials(values: Mapping[str, str]) -> list[str]:
    """Put the known credentials among `values` into the environment, where not set already; the names that were."""
    adopted = [name for name in CREDENTIALS if values.get(name) and not os.environ.get(name)]
    for name in adopted:
        os.environ[name] = values[name]
    return adopted


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ${NAME} and ${NAME:-default}. KeyError with the name that has neither a value nor a default."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = values.get(name)
        if found is None and default is None:
            raise KeyError(name)
        return found or default or ""

    return _REFERENCE.sub(value, text)
