"""The one table of providers: the names, keys, addresses and hosts of everything ml-intern has credentials for.

Routing, `.env` files, the set-up of a first start, `doctor` and the exfiltration rule all read it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """Something that takes a key: a hosted model API, a server on the user's machine, or another service."""

    title: str
    """Its name as people write it."""
    key_envs: tuple[str, ...] = ()
    """Variables ml-intern reads its key from; messages name the first."""
    base_envs: tuple[str, ...] = ()
    """Variables that change its address."""
    hosts: tuple[str, ...] = ()
    """Domains its key may be sent to, subdomains included. Empty when they are not known."""
    official_urls: tuple[str, ...] = ()
    """Its own addresses: setting a variable of `base_envs` to one of them redirects nothing."""
    other_envs: tuple[str, ...] = ()
    """Further variables that hold its secrets. ml-intern does not read them but lets them go to `hosts` only."""
    parameter_envs: tuple[str, ...] = ()
    """Variables that are not secret and that a `.env` file may set."""
    strong_model: str = ""
    """Its recommended model for hard tasks. It calls tools and is in the price table, as the next one is."""
    cheap_model: str = ""
    """Its recommended model for the lowest cost."""
    first_model: str = ""
    """The model to use when its key is set and no model is named: one of the two above."""
    catalogue_url: str = ""
    """The OpenAI-compatible address that lists its models under /models."""
    key_help: str = ""
    """How to get a key, for keys that are useful whichever model is used."""
    default_url: str = ""
    """The usual address of a server on the user's machine."""
    ambient: bool = False
    """Its own library reads its credentials, which are more than one key, from the environment."""
    is_direct: bool = False
    """Its own API is called without litellm."""
    self_hosted: bool = False
    """The user's own server: it needs an address and may need no key."""


MODEL_PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider(
        "Anthropic",
        ("ANTHROPIC_API_KEY",),
        ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
        ("anthropic.com",),
        official_urls=("https://api.anthropic.com",),
        strong_model="anthropic/claude-opus-5",
        cheap_model="anthropic/claude-sonnet-5",
        first_model="anthropic/claude-sonnet-5",
        catalogue_url="https://api.anthropic.com/v1",
        is_direct=True,
    ),
    "openai": Provider(
        "OpenAI",
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        ("openai.com",),
        official_urls=("https://api.openai.com", "https://api.openai.com/v1"),
        strong_model="openai/gpt-5.6",
        cheap_model="openai/gpt-5.6-luna",
        first_model="openai/gpt-5.6",
        catalogue_url="https://api.openai.com/v1",
    ),
    "gemini": Provider(
        "Gemini",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        hosts=("googleapis.com",),
        strong_model="gemini/gemini-3.8-flash",
        cheap_model="gemini/gemini-3.5-flash-lite",
        first_model="gemini/gemini-3.8-flash",
        catalogue_url="https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    "openrouter": Provider(
        "OpenRouter",
        ("OPENROUTER_API_KEY",),
        hosts=("openrouter.ai",),
        strong_model="openrouter/anthropic/claude-sonnet-5",
        cheap_model="openrouter/openai/gpt-5.6-luna",
        first_model="openrouter/anthropic/claude-sonnet-5",
        catalogue_url="https://openrouter.ai/api/v1",
    ),
    "deepseek": Provider(
        "DeepSeek",
        ("DEEPSEEK_API_KEY",),
        ("DEEPSEEK_API_BASE",),
        ("deepseek.com",),
        strong_model="deepseek/deepseek-v4-pro",
        cheap_model="deepseek/deepseek-v4-flash",
        first_model="deepseek/deepseek-v4-flash",
        catalogue_url="https://api.deepseek.com/v1",
    ),
    "mistral": Provider(
        "Mistral",
        ("MISTRAL_API_KEY",),
        ("MISTRAL_API_BASE",),
        ("mistral.ai",),
        strong_model="mistral/mistral-medium-latest",
        cheap_model="mistral/mistral-small-latest",
        first_model="mistral/mistral-medium-latest",
        catalogue_url="https://api.mistral.ai/v1",
    ),
    "xai": Provider(
        "xAI",
        ("XAI_API_KEY",),
        hosts=("x.ai",),
        strong_model="xai/grok-4.6",
        cheap_model="xai/grok-4.3",
        first_model="xai/grok-4.6",
        catalogue_url="https://api.x.ai/v1",
    ),
    "groq": Provider(
        "Groq",
        ("GROQ_API_KEY",),
        hosts=("groq.com",),
        strong_model="groq/openai/gpt-oss-120b",
        cheap_model="groq/openai/gpt-oss-20b",
        first_model="groq/openai/gpt-oss-120b",
        catalogue_url="https://api.groq.com/openai/v1",
    ),
    "codestral": Provider(
        "Codestral",
        ("CODESTRAL_API_KEY",),
        hosts=("codestral.mistral.ai", "codestral.com"),
        catalogue_url="https://codestral.mistral.ai/v1",
    ),
    "together_ai": Provider(
        "Together AI",
        ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
        hosts=("together.xyz", "together.ai"),
        strong_model="together_ai/zai-org/GLM-5.3",
        cheap_model="together_ai/zai-org/GLM-5.3-Flash",
        catalogue_url="https://api.together.xyz/v1",
    ),
    "fireworks_ai": Provider(
        "Fireworks AI",
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        hosts=("fireworks.ai",),
        strong_model="fireworks_ai/accounts/fireworks/models/glm-5p3",
        cheap_model="fireworks_ai/accounts/fireworks/models/glm-5p3-flash",
        catalogue_url="https://api.fireworks.ai/inference/v1",
    ),
    "cohere": Provider(
        "Cohere",
        ("COHERE_API_KEY", "CO_API_KEY"),
        hosts=("cohere.com", "cohere.ai"),
        strong_model="cohere/command-a-03-2025",
        cheap_model="cohere/command-r-08-2024",
    ),
    "cohere_chat": Provider(
        "Cohere",
        ("COHERE_API_KEY", "CO_API_KEY"),
        hosts=("cohere.com", "cohere.ai"),
        strong_model="cohere_chat/command-a-03-2025",
        cheap_model="cohere_chat/command-r-08-2024",
    ),
    "perplexity": Provider("Perplexity", ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"), hosts=("perplexity.ai",)),
    "cerebras": Provider(
        "Cerebras",
        ("CEREBRAS_API_KEY",),
        hosts=("cerebras.ai",),
        strong_model="cerebras/qwen-3.8-27b",
        cheap_model="cerebras/gpt-oss-120b",
        catalogue_url="https://api.cerebras.ai/v1",
    ),
    "deepinfra": Provider(
        "DeepInfra",
        ("DEEPINFRA_API_KEY",),
        hosts=("deepinfra.com",),
        strong_model="deepinfra/zai-org/GLM-5.2",
        cheap_model="deepinfra/deepseek-ai/DeepSeek-V4-Flash",
        catalogue_url="https://api.deepinfra.com/v1/openai",
    ),
    "nebius": Provider(
        "Nebius",
        ("NEBIUS_API_KEY",),
        hosts=("nebius.ai", "nebius.com"),
        strong_model="nebius/zai-org/GLM-5.2",
        cheap_model="nebius/zai-org/GLM-5.3-Flash",
        catalogue_url="https://api.studio.nebius.ai/v1",
    ),
    "novita": Provider(
        "Novita",
        ("NOVITA_API_KEY",),
        hosts=("novita.ai",),
        strong_model="novita/zai-org/glm-5.3",
        cheap_model="novita/deepseek/deepseek-v4-flash",
        catalogue_url="https://api.novita.ai/v3/openai",
    ),
    "sambanova": Provider(
        "SambaNova",
        ("SAMBANOVA_API_KEY",),
        hosts=("sambanova.ai",),
        strong_model="sambanova/MiniMax-M2.7",
        cheap_model="sambanova/gpt-oss-120b",
        catalogue_url="https://api.sambanova.ai/v1",
    ),
    "hyperbolic": Provider(
        "Hyperbolic",
        ("HYPERBOLIC_API_KEY",),
        hosts=("hyperbolic.xyz",),
        strong_model="hyperbolic/moonshotai/Kimi-K2-Instruct",
        cheap_model="hyperbolic/Qwen/Qwen2.5-72B-Instruct",
        catalogue_url="https://api.hyperbolic.xyz/v1",
    ),
    "moonshot": Provider(
        "Moonshot",
        ("MOONSHOT_API_KEY",),
        ("MOONSHOT_API_BASE",),
        ("moonshot.ai", "moonshot.cn"),
        strong_model="moonshot/kimi-k3",
        cheap_model="moonshot/kimi-k2.5",
        catalogue_url="https://api.moonshot.ai/v1",
    ),
    "zai": Provider(
        "Z.ai",
        ("ZAI_API_KEY",),
        hosts=("z.ai",),
        strong_model="zai/glm-5.3",
        cheap_model="zai/glm-5.3-flash",
        catalogue_url="https://api.z.ai/api/paas/v4",
    ),
    "minimax": Provider(
        "MiniMax",
        ("MINIMAX_API_KEY",),
        ("MINIMAX_API_BASE",),
        ("minimax.io", "minimaxi.com"),
        strong_model="minimax/MiniMax-M3",
        cheap_model="minimax/MiniMax-M2.5",
        catalogue_url="https://api.minimax.io/v1",
    ),
    "dashscope": Provider(
        "DashScope",
        ("DASHSCOPE_API_KEY",),
        ("DASHSCOPE_API_BASE",),
        ("aliyuncs.com",),
        strong_model="dashscope/qwen3.8-max",
        cheap_model="dashscope/deepseek-v4-flash",
        catalogue_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    ),
    "nvidia_nim": Provider(
        "NVIDIA NIM",
        ("NVIDIA_NIM_API_KEY",),
        ("NVIDIA_NIM_API_BASE",),
        ("nvidia.com",),
        catalogue_url="https://integrate.api.nvidia.com/v1",
    ),
    "github": Provider("GitHub Models", ("GITHUB_API_KEY",), hosts=("github.ai", "models.inference.ai.azure.com")),
    "azure": Provider("Azure OpenAI", ("AZURE_API_KEY",), ("AZURE_API_BASE",)),
    "azure_ai": Provider("Azure AI", ("AZURE_AI_API_KEY",), ("AZURE_AI_API_BASE",)),
    "vercel_ai_gateway": Provider(
        "Vercel AI Gateway",
        ("VERCEL_AI_GATEWAY_API_KEY",),
        hosts=("ai-gateway.vercel.sh",),
        catalogue_url="https://ai-gateway.vercel.sh/v1",
    ),
    "databricks": Provider("Databricks", ("DATABRICKS_API_KEY",), ("DATABRICKS_API_BASE",)),
    "hosted_vllm": Provider("vLLM", ("HOSTED_VLLM_API_KEY",), ("HOSTED_VLLM_API_BASE",), self_hosted=True),
    "litellm_proxy": Provider(
        "LiteLLM proxy", ("LITELLM_PROXY_API_KEY",), ("LITELLM_PROXY_API_BASE",), self_hosted=True
    ),
    "bedrock": Provider(
        "Amazon Bedrock",
        ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        hosts=("amazonaws.com",),
        other_envs=("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        ambient=True,
    ),
    "vertex_ai": Provider(
        "Vertex AI",
        ("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT"),
        ambient=True,
    ),
    "watsonx": Provider("watsonx", ("WATSONX_APIKEY", "WATSONX_API_KEY"), ("WATSONX_URL",), ambient=True),
}
"""Hosted model APIs by the prefix of their model ids, as litellm names it. `first_model` is chosen in this order."""

LOCAL_SERVERS: Mapping[str, Provider] = {
    "ollama": Provider(
        "Ollama", ("OLLAMA_API_KEY",), ("OLLAMA_BASE_URL",), default_url="http://localhost:11434/v1", self_hosted=True
    ),
    "vllm": Provider(
        "vLLM", ("VLLM_API_KEY",), ("VLLM_BASE_URL",), default_url="http://localhost:8000/v1", self_hosted=True
    ),
    "lm_studio": Provider(
        "LM Studio",
        ("LM_STUDIO_API_KEY", "LMSTUDIO_API_KEY"),
        ("LM_STUDIO_BASE_URL", "LMSTUDIO_BASE_URL"),
        default_url="http://127.0.0.1:1234/v1",
        self_hosted=True,
    ),
    "llamacpp": Provider(
        "llama.cpp",
        ("LLAMACPP_API_KEY",),
        ("LLAMACPP_BASE_URL",),
        default_url="http://localhost:8080/v1",
        self_hosted=True,
    ),
}
"""OpenAI-compatible servers on the user's machine, by their prefix in model ids."""

ANY_LOCAL_SERVER = Provider("a local server", ("LOCAL_LLM_API_KEY",), ("LOCAL_LLM_BASE_URL",), self_hosted=True)
"""The address and key that stand in for any of LOCAL_SERVERS."""

HUB = Provider(
    "Hugging Face",
    ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"),
    ("HF_ENDPOINT",),
    ("huggingface.co", "hf.co"),
    official_urls=("https://huggingface.co", "https://hf.co"),
    other_envs=("HUGGINGFACE_TOKEN",),
    first_model="moonshotai/Kimi-K2.6",
    key_help="for the Hub and its router: `hf auth login`, or create one at https://huggingface.co/settings/tokens",
)
GITHUB = Provider(
    "GitHub",
    ("GITHUB_TOKEN",),
    ("GITHUB_API_URL",),
    ("github.com", "githubusercontent.com"),
    official_urls=("https://api.github.com",),
    other_envs=("GH_TOKEN",),
    key_help="the tool github needs one: `gh auth token` prints yours, or create one without scopes at "
    "https://github.com/settings/personal-access-tokens",
)
SLACK = Provider(
    "Slack",
    ("SLACK_BOT_TOKEN",),
    ("SLACK_API_URL",),
    ("slack.com",),
    official_urls=("https://slack.com/api",),
    parameter_envs=("SLACK_CHANNEL_ID", "SLACK_CHANNEL"),
)
SEMANTIC_SCHOLAR = Provider("Semantic Scholar", ("S2_API_KEY",), hosts=("semanticscholar.org",))
BRAVE = Provider("Brave", ("BRAVE_API_KEY",), hosts=("search.brave.com",))
TAVILY = Provider("Tavily", ("TAVILY_API_KEY",), hosts=("tavily.com",))
WANDB = Provider(
    "Weights & Biases",
    hosts=("wandb.ai",),
    official_urls=("https://api.wandb.ai",),
    other_envs=("WANDB_API_KEY",),
)
KAGGLE = Provider("Kaggle", hosts=("kaggle.com",), other_envs=("KAGGLE_KEY",))

SERVICES: tuple[Provider, ...] = (HUB, GITHUB, SLACK, SEMANTIC_SCHOLAR, BRAVE, TAVILY, WANDB, KAGGLE)
"""Providers with a key that are not called through litellm. Only the exfiltration rule uses WANDB and KAGGLE."""


def all_providers() -> Iterator[Provider]:
    """Iterate over every row of the table."""
    yield from MODEL_PROVIDERS.values()
    yield from LOCAL_SERVERS.values()
    yield ANY_LOCAL_SERVER
    yield from SERVICES


def first_models() -> dict[str, str]:
    """Return the model to use for each key variable when settings name none, best first."""
    return {one.key_envs[0]: one.first_model for one in (*MODEL_PROVIDERS.values(), HUB) if one.first_model}


def model_key_names() -> frozenset[str]:
    """Return the variables with keys of model providers, except those of Hugging Face, which open repositories too."""
    return frozenset(
        name
        for one in MODEL_PROVIDERS.values()
        for name in (*one.key_envs, *one.other_envs)
        if name not in (*HUB.key_envs, *HUB.other_envs)
    )


def credential_names() -> tuple[str, ...]:
    """Return the variables that a `.env` file may set. Addresses are not among them: they would redirect a key."""
    names = (name for one in all_providers() if not one.ambient for name in (*one.key_envs, *one.parameter_envs))
    return tuple(dict.fromkeys(names))


def endpoint_names() -> tuple[str, ...]:
    """Return the variables that change where a provider's key is sent."""
    return tuple(dict.fromkeys(name for one in all_providers() for name in one.base_envs))


def token_hosts() -> dict[str, tuple[str, ...]]:
    """Return the only domains each variable's secret may be sent to, for those whose domains are known."""
    return {name: one.hosts for one in all_providers() if one.hosts for name in (*one.key_envs, *one.other_envs)}


def official_urls() -> frozenset[str]:
    """Return the addresses that are the providers' own."""
    return frozenset(url for one in all_providers() for url in one.official_urls)
