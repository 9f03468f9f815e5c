"""What `.env` files and the environment may say: credentials by known names, and values for ${NAME} in settings."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError

CREDENTIALS: tuple[str, ...] = (
    "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENROUTER_API_KEY",
    "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "CODESTRAL_API_KEY", "GROQ_API_KEY", "XAI_API_KEY", "TOGETHERAI_API_KEY",
    "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "COHERE_API_KEY",
    "CO_API_KEY", "PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY", "CEREBRAS_API_KEY", "DEEPINFRA_API_KEY",
    "NEBIUS_API_KEY", "NOVITA_API_KEY", "SAMBANOVA_API_KEY", "HYPERBOLIC_API_KEY", "MOONSHOT_API_KEY", "ZAI_API_KEY",
    "MINIMAX_API_KEY", "DASHSCOPE_API_KEY", "NVIDIA_NIM_API_KEY", "GITHUB_API_KEY", "AZURE_API_KEY", "AZURE_AI_API_KEY",
    "VERCEL_AI_GATEWAY_API_KEY", "DATABRICKS_API_KEY", "HOSTED_VLLM_API_KEY", "LITELLM_PROXY_API_KEY", "OLLAMA_API_KEY",
    "VLLM_API_KEY", "LM_STUDIO_API_KEY", "LLAMACPP_API_KEY", "LOCAL_LLM_API_KEY", "GITHUB_TOKEN", "SLACK_BOT_TOKEN",
    "SLACK_CHANNEL_ID", "S2_API_KEY", "BRAVE_API_KEY", "TAVILY_API_KEY",
)  # fmt: skip
"""Names that a .env file may put into the environment. No endpoints: a folder must not redirect a key."""

ENDPOINTS: tuple[str, ...] = (
    "ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE", "OPENAI_BASE_URL", "OPENAI_API_BASE", "LOCAL_LLM_BASE_URL",
    "OLLAMA_BASE_URL", "VLLM_BASE_URL", "LM_STUDIO_BASE_URL", "LLAMACPP_BASE_URL", "HF_ENDPOINT", "GITHUB_API_URL",
    "SLACK_API_URL",
)  # fmt: skip
"""Names that only a folder the user trusts may put into the environment."""

_MAX_CHARACTERS = 1_000_000
_ENDPOINT_WORDS = ("URL", "URI", "ENDPOINT", "HOST", "BASE", "PROXY", "SERVER")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_REFERENCE = re.compile(r"\$\{([^}:]+)(?::-([^}]*))?\}")
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def parse_env_file(text: str) -> dict[str, str]:
    """The names and values of a .env file. It knows comments, `export` and quotes, and passes over other lines."""
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
    """The values of the folders' .env files, of their first megabyte; the earlier folder wins.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    values: dict[str, str] = {}
    for folder in folders:
        path = folder / ".env"
        if path.is_file():
            values = {**_read(path), **values}
    return values


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return parse_env_file(file.read(_MAX_CHARACTERS))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "make it readable or remove it") from error


def is_endpoint(name: str) -> bool:
    """Whether a variable of this name may say where requests go."""
    return any(word in name.upper() for word in _ENDPOINT_WORDS)


def adopt_credentials(values: Mapping[str, str]) -> list[str]:
    """Put the known credentials among `values` into the environment, where not set already; the names that were."""
    return _adopt(CREDENTIALS, values)


def adopt_endpoints(values: Mapping[str, str]) -> list[str]:
    """The same for known endpoints. Only for values from a folder that is trusted."""
    return _adopt(ENDPOINTS, values)


def _adopt(names: Iterable[str], values: Mapping[str, str]) -> list[str]:
    adopted = [name for name in names if values.get(name) and not os.environ.get(name)]
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
