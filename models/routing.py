"""Routing of model ids to transport, address and key. It is table-driven and uses no network."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from ml_intern.configs.env import OWN_KEYS
from ml_intern.configs.errors import ConfigurationError, KeyMissing, ModelUnknown
from ml_intern.configs.providers import ANY_LOCAL_SERVER, HUB, LOCAL_SERVERS, MODEL_PROVIDERS, Provider

HUB_PREFIX = "huggingface"
"""Prefix for a Hub id that would otherwise match another provider."""
HUB_ROUTER = "https://router.huggingface.co/v1"
PRIVATE_SUFFIXES = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
"""Endings of host names in private networks."""
HUB_ORGS = frozenset({
    "Qwen", "deepseek-ai", "mistralai", "moonshotai", "MiniMaxAI", "zai-org", "XiaomiMiMo", "nvidia", "google",
    "meta-llama", "microsoft", "CohereLabs", "HuggingFaceTB", "allenai", "ServiceNow-AI", "baidu", "tencent",
})  # fmt: skip
"""Hub organisations whose names resemble a provider's."""
MIN_SIMILARITY = 80
"""Similarity (of 100) from which an unknown prefix counts as misspelt."""
NO_KEY_REMEDY = "set {names}, try `ml-intern demo`, or use a local server (--base-url URL, or ollama/NAME)"


@dataclass(frozen=True)
class Route:
    """The transport, address and key of one model id."""

    model: str
    """The id as the user wrote it."""
    name: str
    """The name of the model at the endpoint."""
    transport: Literal["direct", "anthropic", "litellm", "scripted"]
    provider: str
    base_url: str | None = None
    key_env: str | None = None
    """The variable with the key."""
    key: str | None = field(default=None, repr=False)
    free: bool = False
    """Calls cost nothing: a script or a local server."""
    note: str = ""
    """A description of the route."""
    hint: str = "see `ml-intern models`, or choose another with --model"
    """The remedy when the endpoint does not know the model."""

    @cached_property
    def where(self) -> str:
        """The endpoint for messages, without credentials and path."""
        return shown_url(self.base_url).removesuffix(urlsplit(self.base_url).path) if self.base_url else self.provider

    @property
    def key_used(self) -> str | None:
        """The variable of the key that is sent. A provider's own library may find other credentials."""
        return self.key_env if self.key or self.transport == "litellm" else None

    @property
    def is_hosted(self) -> bool:
        """Whether it is a provider's own API, whose models the price table lists."""
        return self.transport in ("anthropic", "litellm")

    @property
    def is_private(self) -> bool:
        """Whether the endpoint is on this machine or in a private network."""
        host = urlsplit(self.base_url or "").hostname or ""
        try:
            return ip_address(host).is_private
        except ValueError:
            return (
                self.is_loopback or ("." not in host and bool(host)) or host.endswith((".local", ".lan", ".internal"))
            )

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        host = urlsplit(self.base_url or "").hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of --base-url and --api-key-env. It serves `model` and all ids without another provider."""

    base_url: str
    key_env: str = MODEL_PROVIDERS["openai"].key_envs[0]
    model: str = ""

    def serves(self, model: str) -> bool:
        """Return whether this endpoint serves the id: another provider's model must not be sent to it."""
        prefix, slash, _ = model.partition("/")
        elsewhere = bool(slash) and (prefix in LOCAL_SERVERS or prefix in MODEL_PROVIDERS or prefix == HUB_PREFIX)
        return model == self.model or not (elsewhere or names_hub_provider(model))


def find_route(
    model: str,
    environ: Mapping[str, str] = os.environ,
    endpoint: Endpoint | None = None,
    *,
    only_litellm: bool = False,
) -> Route:
    """Return the route of a model id. With `only_litellm` litellm calls every provider.

    Raises ModelUnknown for an id without a route, KeyMissing when its key is not set, ConfigurationError for an invalid
    base URL.
    """
    model = model.strip()
    if model.startswith("scripted:"):
        return Route(model, model.removeprefix("scripted:"), "scripted", "scripted", free=True, note="scripted model")
    if endpoint and endpoint.serves(model):
        return _endpoint_route(model, environ, endpoint)
    prefix, slash, name = model.partition("/")
    if not slash or not prefix or not name:
        raise ModelUnknown(f"the model id {model!r} does not name a provider", _write_as(model))
    if prefix in LOCAL_SERVERS:
        return _local_route(model, prefix, name, environ)
    if prefix == HUB_PREFIX:
        return _hub_route(model, name, environ, "")
    if names_hub_provider(model):
        return _hub_route(model, model, environ, "")
    if prefix not in MODEL_PROVIDERS:
        return _org_route(model, prefix, environ)
    return _provider_route(model, prefix, environ, only_litellm=only_litellm)


def names_hub_provider(model: str) -> bool:
    """Return whether an id has the form of the Hugging Face router, `org/model:provider`."""
    _, _, name = model.partition("/")
    base, colon, provider = name.partition(":")
    plain = provider.replace("-", "").replace("_", "")
    return bool(base and colon and plain.isalnum() and plain[0].isalpha()) and "/" not in name


def first_set(names: Iterable[str], environ: Mapping[str, str]) -> str | None:
    """Return the first of these variables that has a value."""
    return next((name for name in names if environ.get(name)), None)


def server_address(server: Provider, environ: Mapping[str, str]) -> str:
    """Return the address of a local server from the environment, or its default."""
    variable = first_set(_address_envs(server), environ)
    return environ[variable] if variable else server.default_url


def _address_envs(server: Provider) -> tuple[str, ...]:
    return (*server.base_envs, *ANY_LOCAL_SERVER.base_envs)


def named_hub_token(environ: Mapping[str, str]) -> str:
    """Return the Hub token in the environment, or ""."""
    name = first_set(HUB.key_envs, environ)
    return environ[name].strip() if name else ""


def hub_token(environ: Mapping[str, str]) -> str | None:
    """Return HF_TOKEN, or the token of a stored login."""
    if token := named_hub_token(environ):
        return token
    if OWN_KEYS in environ:
        return None
    home = environ.get("HF_HOME") or str(Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    path = Path(environ.get("HF_TOKEN_PATH") or Path(home) / "token").expanduser()
    try:
        return path.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def checked_url(text: str, name: str = "--base-url") -> str:
    """Return an http(s) URL without trailing slash, with /v1 added when it has no path.

    Raises ConfigurationError for anything else.
    """
    try:
        parts = urlsplit(text.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(f"{name} is not an http(s) URL", "for example http://127.0.0.1:8000/v1")
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def checked_key(environ: Mapping[str, str], name: str | None) -> str | None:
    """Return the key in a variable. Raises ConfigurationError, which does not show it, when it cannot be sent."""
    key = (environ.get(name) or "").strip() if name else ""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{name} contains characters that no API key has", f"set {name} again")
    return key or None


def shown_url(url: str) -> str:
    """Return a URL without credentials, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def nearest_prefixes(prefix: str) -> list[str]:
    """Return known prefixes that resemble this one, best first."""
    from rapidfuzz import fuzz, process

    known = [*MODEL_PROVIDERS, *LOCAL_SERVERS, HUB_PREFIX]
    found = process.extract(prefix.lower(), known, scorer=fuzz.ratio, limit=3, score_cutoff=50)
    return [name for name, _, _ in found]


def nearest_models(route: Route, known: list[str] | None) -> list[str]:
    """Return up to three models of the endpoint with similar names. `known` None: those of the price table."""
    from rapidfuzz import fuzz, process

    from ml_intern.models.catalog.prices import names_of

    name, names = (route.model, names_of(route.provider)) if known is None else (route.name, known)
    found = process.extract(name, names, scorer=fuzz.WRatio, limit=3, score_cutoff=50)
    return [name for name, _, _ in found]


def _endpoint_route(model: str, environ: Mapping[str, str], endpoint: Endpoint) -> Route:
    prefix, _, rest = model.partition("/")
    name = rest if prefix in LOCAL_SERVERS and rest else model
    key = checked_key(environ, endpoint.key_env)
    url = checked_url(endpoint.base_url)
    hint = "choose a model of this endpoint with --model"
    free, note = name != model, f"{name} at {shown_url(url)}"
    return Route(model, name, "direct", "endpoint", url, endpoint.key_env, key, free, note, hint)


def _local_route(model: str, prefix: str, name: str, environ: Mapping[str, str]) -> Route:
    server = LOCAL_SERVERS[prefix]
    variable = first_set(_address_envs(server), environ)
    url = checked_url(environ[variable], variable) if variable else server.default_url
    url = url if url.endswith("/v1") else f"{url}/v1"
    key_env = first_set(server.key_envs, environ) or ANY_LOCAL_SERVER.key_envs[0]
    note = f"{name} at the local server {shown_url(url)}"
    hint = "choose a model that the server has pulled or loaded"
    return Route(model, name, "direct", prefix, url, key_env, checked_key(environ, key_env), True, note, hint)


def _hub_route(model: str, name: str, environ: Mapping[str, str], missing: str) -> Route:
    token = hub_token(environ)
    if not token:
        raise KeyMissing(
            f"no API key for {model}", NO_KEY_REMEDY.format(names=f"{missing} or HF_TOKEN" if missing else "HF_TOKEN")
        )
    url = checked_url(environ.get("ML_INTERN_ROUTER_URL") or HUB_ROUTER, "ML_INTERN_ROUTER_URL")
    why = f" ({missing} is not set)" if missing else ""
    hint = f"set {missing} to reach its own provider, or choose another with --model" if missing else ""
    note = f"{name} through the Hugging Face router{why}"
    return Route(model, name, "direct", "hub", url, HUB.key_envs[0], token, note=note, hint=hint or Route.hint)


def _provider_route(model: str, prefix: str, environ: Mapping[str, str], *, only_litellm: bool) -> Route:
    provider = MODEL_PROVIDERS[prefix]
    key_env = first_set(provider.key_envs, environ)
    base_env = first_set(provider.base_envs, environ)
    if provider.self_hosted and base_env is None:
        raise KeyMissing(f"no address for {model}", f"set {provider.base_envs[0]}, or use --base-url URL")
    if key_env is None and not provider.self_hosted:
        return _hub_route(model, model, environ, provider.key_envs[0])
    # The provider's own library reads ambient credentials (a cloud profile); only a real key is passed on.
    key = None if provider.ambient else checked_key(environ, key_env)
    base = (
        checked_url(environ[base_env], base_env) if base_env and provider.self_hosted else environ.get(base_env or "")
    )
    note = f"{model} at its provider ({prefix})"
    if provider.is_direct and not only_litellm:
        address = checked_url(base or provider.catalogue_url, base_env or prefix)
        url = address if address.endswith("/v1") else f"{address}/v1"
        return Route(model, model.partition("/")[2], "anthropic", prefix, url, key_env, key, note=note)
    return Route(model, model, "litellm", prefix, base, key_env or provider.key_envs[0], key, note=note)


def catalogue_route(prefix: str, environ: Mapping[str, str]) -> Route | None:
    """Return the route of a provider's list of models, or None if the provider has none.

    Raises ConfigurationError for an invalid key or base URL.
    """
    provider = MODEL_PROVIDERS[prefix]
    base_env, key_env = first_set(provider.base_envs, environ), first_set(provider.key_envs, environ)
    url = checked_url(environ[base_env], base_env) if base_env else provider.catalogue_url
    return Route(prefix, "", "direct", prefix, url, key_env, checked_key(environ, key_env)) if url else None


def _org_route(model: str, prefix: str, environ: Mapping[str, str]) -> Route:
    near = nearest_prefixes(prefix)
    if hub_token(environ) and (prefix in HUB_ORGS or not _misspelt(prefix, near)):
        return _hub_route(model, model, environ, "")
    remedy = "set HF_TOKEN to use a model of the Hugging Face Hub by its id"
    if near:
        remedy = f"did you mean {', '.join(f'{name}/' for name in near)}? Otherwise {remedy}"
    raise ModelUnknown(f"unknown provider {prefix!r} in the model id {model!r}", remedy)


def _misspelt(prefix: str, near: list[str]) -> bool:
    from rapidfuzz import fuzz

    return bool(near) and fuzz.ratio(prefix.lower(), near[0]) >= MIN_SIMILARITY


def _write_as(model: str) -> str:
    from ml_intern.models.catalog.prices import providers_of

    found = [f"{provider}/{model}" for provider in providers_of(model) if provider in MODEL_PROVIDERS]
    return f"write {' or '.join(found[:3])}" if found else "write provider/model, for example openai/gpt-5"
