"""The tables of providers and local servers: prefixes of model ids, key variables, addresses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """A hosted provider reached through litellm."""

    key_envs: tuple[str, ...]
    """Variables that hold its key; the first is the one named to users."""
    base_envs: tuple[str, ...] = ()
    """Variables that move its address."""
    ambient: bool = False
    """Its credentials are more than one key and are read from the environment by its own library."""
    self_hosted: bool = False
    """The user's own server: its address is needed, a key is not."""


@dataclass(frozen=True)
class LocalServer:
    """An OpenAI-compatible server on the user's machine."""

    name: str
    base_env: str
    key_env: str
    default: str


LOCAL: dict[str, LocalServer] = {
    "ollama": LocalServer("ollama", "OLLAMA_BASE_URL", "OLLAMA_API_KEY", "http://localhost:11434/v1"),
    "vllm": LocalServer("vllm", "VLLM_BASE_URL", "VLLM_API_KEY", "http://localhost:8000/v1"),
    "lm_studio": LocalServer("lm_studio", "LM_STUDIO_BASE_URL", "LM_STUDIO_API_KEY", "http://127.0.0.1:1234/v1"),
    "llamacpp": LocalServer("llamacpp", "LLAMACPP_BASE_URL", "LLAMACPP_API_KEY", "http://localhost:8080/v1"),
}

PROVIDERS: dict[str, Provider] = {
    "anthropic": Provider(("ANTHROPIC_API_KEY",), ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL")),
    "openai": Provider(("OPENAI_API_KEY",), ("OPENAI_BASE_URL", "OPENAI_API_BASE")),
    "gemini": Provider(("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    "mistral": Provider(("MISTRAL_API_KEY",), ("MISTRAL_API_BASE",)),
    "codestral": Provider(("CODESTRAL_API_KEY",)),
    "groq": Provider(("GROQ_API_KEY",)),
    "deepseek": Provider(("DEEPSEEK_API_KEY",), ("DEEPSEEK_API_BASE",)),
    "xai": Provider(("XAI_API_KEY",)),
    "openrouter": Provider(("OPENROUTER_API_KEY",)),
    "together_ai": Provider(("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY")),
    "fireworks_ai": Provider(("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY")),
    "cohere": Provider(("COHERE_API_KEY", "CO_API_KEY")),
    "cohere_chat": Provider(("COHERE_API_KEY", "CO_API_KEY")),
    "perplexity": Provider(("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY")),
    "cerebras": Provider(("CEREBRAS_API_KEY",)),
    "deepinfra": Provider(("DEEPINFRA_API_KEY",)),
    "nebius": Provider(("NEBIUS_API_KEY",)),
    "novita": Provider(("NOVITA_API_KEY",)),
    "sambanova": Provider(("SAMBANOVA_API_KEY",)),
    "hyperbolic": Provider(("HYPERBOLIC_API_KEY",)),
    "moonshot": Provider(("MOONSHOT_API_KEY",), ("MOONSHOT_API_BASE",)),
    "zai": Provider(("ZAI_API_KEY",)),
    "minimax": Provider(("MINIMAX_API_KEY",), ("MINIMAX_API_BASE",)),
    "dashscope": Provider(("DASHSCOPE_API_KEY",), ("DASHSCOPE_API_BASE",)),
    "nvidia_nim": Provider(("NVIDIA_NIM_API_KEY",), ("NVIDIA_NIM_API_BASE",)),
    "github": Provider(("GITHUB_API_KEY",)),
    "azure": Provider(("AZURE_API_KEY",), ("AZURE_API_BASE",)),
    "azure_ai": Provider(("AZURE_AI_API_KEY",), ("AZURE_AI_API_BASE",)),
    "vercel_ai_gateway": Provider(("VERCEL_AI_GATEWAY_API_KEY",)),
    "databricks": Provider(("DATABRICKS_API_KEY",), ("DATABRICKS_API_BASE",)),
    "hosted_vllm": Provider(("HOSTED_VLLM_API_KEY",), ("HOSTED_VLLM_API_BASE",), self_hosted=True),
    "litellm_proxy": Provider(("LITELLM_PROXY_API_KEY",), ("LITELLM_PROXY_API_BASE",), self_hosted=True),
    "bedrock": Provider(
        ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ambient=True,
    ),
    "vertex_ai": Provider(
        ("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT"), ambient=True
    ),
    "watsonx": Provider(("WATSONX_APIKEY", "WATSONX_API_KEY"), ("WATSONX_URL",), ambient=True),
}
"""What litellm calls these providers. An id whose prefix is none of these is taken for an organisation of the Hub."""

HUB_ORGS = frozenset({
    "Qwen", "deepseek-ai", "mistralai", "moonshotai", "MiniMaxAI", "zai-org", "XiaomiMiMo", "nvidia", "google",
    "meta-llama", "microsoft", "CohereLabs", "HuggingFaceTB", "allenai", "ServiceNow-AI", "baidu", "tencent",
})  # fmt: skip
"""Organisations of the Hub whose names resemble a provider's."""
