"""FORMATS, the table of secrets recognized by their format: kind, a literal the text must contain, and the pattern."""

import re
from dataclasses import dataclass

# Allowed before a short prefix: no word character, unless it ends an escape sequence (%3D, \n, \u003d, ESC[32m).
_BEFORE = (r"%[0-9A-Fa-f]{2}", r"\\[nrtfb]", r"\\u[0-9A-Fa-f]{4}", r"[\[;0-9]m")


def _start(prefix: str) -> str:
    """Return a pattern for a prefix at the start of a word. The lookbehind comes last for a fast search."""
    return rf"{prefix}(?:(?<![A-Za-z0-9]{prefix})|" + "|".join(f"(?<={one}{prefix})" for one in _BEFORE) + ")"


@dataclass(frozen=True)
class SecretFormat:
    """A secret format. `pattern` is used only for text that contains `literal`."""

    kind: str
    literal: str
    pattern: re.Pattern[str]


def _format(kind: str, literal: str, pattern: str) -> SecretFormat:
    return SecretFormat(kind, literal, re.compile(pattern))


# Every pattern is a prefix and a run of one character class, so that a failed match is short and time is linear.
FORMATS: tuple[SecretFormat, ...] = (
    # Hugging Face and model providers
    _format("hf_token", "hf_", r"hf_(?:oauth_|jwt_)?[A-Za-z0-9]{20,}"),
    _format("hf_org_token", "api_org_", r"api_org_[A-Za-z0-9]{20,}"),
    _format("hf_token_base64", "aGZf", r"aGZf[A-Za-z0-9+/_-]{36,}={0,2}"),
    _format("provider_key", "sk-", _start("sk-") + r"(?:proj|ant|or|svcacct|admin|None|lf|kimi|cp)-[A-Za-z0-9_-]{16,}"),
    _format("provider_key", "sk-", _start("sk-") + r"[A-Za-z0-9]{20,}[A-Za-z0-9_-]*"),
    _format("openai_session", "sess-", _start("sess-") + r"[A-Za-z0-9]{32,}"),
    _format("groq_key", "gsk_", r"gsk_[A-Za-z0-9]{20,}"),
    _format("xai_key", "xai-", _start("xai-") + r"[A-Za-z0-9]{20,}[A-Za-z0-9_-]*"),
    _format("nvidia_key", "nvapi-", r"nvapi-[A-Za-z0-9_-]{20,}"),
    _format("together_key", "tgp_v", r"tgp_v[0-9]_[A-Za-z0-9_-]{20,}"),
    _format("perplexity_key", "pplx-", _start("pplx-") + r"[A-Za-z0-9]{20,}"),
    _format("replicate_key", "r8_", _start("r8_") + r"[A-Za-z0-9]{20,}"),
    _format("fireworks_key", "fw_", _start("fw_") + r"[A-Za-z0-9]{20,}"),
    _format("cerebras_key", "csk-", _start("csk-") + r"[A-Za-z0-9]{20,}"),
    _format("pinecone_key", "pcsk_", r"pcsk_[A-Za-z0-9_]{20,}"),
    _format("tavily_key", "tvly-", _start("tvly-") + r"(?:dev-|prod-)?[A-Za-z0-9]{20,}"),
    _format("runpod_key", "rpa_", _start("rpa_") + r"[A-Za-z0-9]{20,}"),
    _format("jina_key", "jina_", _start("jina_") + r"[A-Za-z0-9]{20,}[A-Za-z0-9_-]*"),
    _format("kaggle_key", "KGAT_", r"KGAT_[A-Za-z0-9]{20,}"),
    _format("modal_key", "ak-", _start("ak-") + r"[A-Za-z0-9]{22}(?![A-Za-z0-9_-])"),
    _format("modal_key", "as-", _start("as-") + r"[A-Za-z0-9]{22}(?![A-Za-z0-9_-])"),
    _format("wandb_key", "wandb_v", r"wandb_v[0-9]_[A-Za-z0-9_]{20,}"),
    _format("wandb_key", "local-", _start("local-") + r"[0-9a-f]{40}(?![A-Za-z0-9])"),
    _format("langsmith_key", "lsv2_", r"lsv2_[a-z]{2}_[0-9A-Za-z]{20,}(?:_[0-9A-Za-z]+)?"),
    _format("langsmith_key", "ls__", _start("ls__") + r"[0-9A-Za-z]{20,}"),
    # Code hosts and package indexes
    _format("github_token", "gh", r"gh[pousr]_[A-Za-z0-9]{20,}"),
    _format("github_token", "github_pat_", r"github_pat_[A-Za-z0-9_]{30,}"),
    _format(
        "gitlab_token", "gl", _start("gl") + r"(?:pat|[pdfr]?t+|cbt|oas|imt|agent|soat|ffct)-[A-Za-z0-9_-]{16,}[\w.-]*"
    ),
    _format("bitbucket_token", "ATBB", r"ATBB[A-Za-z0-9]{24,}"),
    _format("atlassian_token", "3xFf", r"AT[AC]TT3xFf[A-Za-z0-9_=+/-]{20,}"),
    _format("pypi_token", "pypi-", _start("pypi-") + r"[A-Za-z0-9_-]{30,}"),
    _format("npm_token", "npm_", _start("npm_") + r"[A-Za-z0-9]{20,}"),
    _format("rubygems_key", "rubygems_", r"rubygems_[0-9a-f]{32,}"),
    _format("docker_token", "dckr_", r"dckr_[a-z]{3}_[A-Za-z0-9_-]{20,}"),
    # Chat and mail
    _format("slack_token", "xoxe.", r"xoxe\.xox[a-z]-[A-Za-z0-9-]{20,}"),
    _format("slack_token", "xox", r"xox[abcdeprs]-[A-Za-z0-9%+/-]{16,}"),
    _format("slack_token", "xapp-", r"xapp-[A-Za-z0-9-]{20,}"),
    _format("slack_token", "xwfp-", r"xwfp-[A-Za-z0-9-]{20,}"),
    _format("slack_webhook", "hooks.slack.com", r"(?:https?:(?:\\?/){2})?hooks\.slack\.com\\?/[A-Za-z0-9_/\\-]{10,}"),
    _format("discord_webhook", "/api/webhooks/", r"/api/webhooks/[0-9]{10,}/[A-Za-z0-9_-]{30,}"),
    _format("discord_token", ".", _start("[MNO]") + r"[A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}"),
    _format("telegram_token", ":AA", r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}"),
    _format("sendgrid_key", "SG.", _start("SG") + r"\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{20,}"),
    _format("mailgun_key", "key-", _start("key-") + r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    _format("mailchimp_key", "-us", r"(?<![0-9a-f])[0-9a-f]{32}-us[0-9]{1,2}(?![0-9A-Za-z])"),
    _format("twilio_key", "SK", _start("SK") + r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    # Clouds
    *(
        _format("aws_key", prefix, _start(prefix) + r"[A-Z0-9]{16}(?![A-Za-z0-9])")
        for prefix in ("AKIA", "ASIA", "ABIA", "ACCA")
    ),
    _format("google_key", "AIza", r"AIza[A-Za-z0-9_-]{30,}"),
    _format("google_token", "ya29.", r"ya29\.[A-Za-z0-9_.-]{20,}"),
    _format("google_refresh", "1//0", _start("1//0") + r"[A-Za-z0-9_-]{30,}"),
    _format("google_secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    _format("azure_key", "AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/]{40,}={0,2}"),
    _format("azure_signature", "sig=", r"(?<=[?&]sig=)[A-Za-z0-9%+/=_-]{20,}"),
    _format("digitalocean_token", "_v1_", r"do[opr]_v1_[0-9a-f]{32,}"),
    _format("databricks_token", "dapi", _start("dapi") + r"[0-9a-f]{32}(?:-[0-9])?(?![A-Za-z0-9])"),
    _format("vault_token", "hv", _start("hv") + r"[sbr]\.[A-Za-z0-9_-]{20,}"),
    _format("terraform_token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}"),
    _format("heroku_key", "HRKU-", r"HRKU-[A-Za-z0-9_-]{20,}"),
    _format("vercel_token", "vc", _start("vc") + r"[pikar]_[A-Za-z0-9]{20,}"),
    _format("netlify_token", "nfp_", _start("nfp_") + r"[A-Za-z0-9]{20,}"),
    _format("tailscale_key", "tskey-", r"tskey-[a-z]+-[A-Za-z0-9-]{16,}"),
    _format("supabase_key", "sb", _start("sb") + r"(?:p_|_secret_)[A-Za-z0-9_-]{20,}"),
    _format("planetscale_key", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{20,}"),
    _format("neon_key", "napi_", _start("napi_") + r"[A-Za-z0-9]{30,}"),
    # Payments and services
    _format("stripe_key", "k_", _start("[sr]k_") + r"(?:live|test|prod)_[A-Za-z0-9]{16,}"),
    _format("stripe_webhook", "whsec_", r"whsec_[A-Za-z0-9+/=]{20,}"),
    _format("service_key", "sk_", _start("sk_") + r"[0-9a-f]{40,}"),
    _format("square_token", "sq0", _start("sq0") + r"[a-z]{3}-[A-Za-z0-9_-]{20,}"),
    _format("shopify_token", "shp", _start("shp") + r"(?:at|ss|ca|pa|tka)_[0-9a-fA-F]{32,}"),
    _format("linear_key", "lin_", _start("lin_") + r"(?:api|oauth)_[A-Za-z0-9]{20,}"),
    _format("notion_key", "ntn_", _start("ntn_") + r"[A-Za-z0-9]{30,}"),
    _format("notion_key", "secret_", _start("secret_") + r"[A-Za-z0-9]{40,}"),
    _format("figma_token", "figd_", r"figd_[A-Za-z0-9_-]{30,}"),
    _format("postman_key", "PMAK-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{30,}"),
    _format("grafana_key", "gl", _start("gl") + r"(?:sa_[A-Za-z0-9]{30,}(?:_[0-9a-fA-F]{8})?|c_[A-Za-z0-9+/=]{30,})"),
    _format("sentry_token", "sntry", r"sntry[su]_[A-Za-z0-9+/=_-]{30,}"),
    _format("newrelic_key", "NR", _start("NR") + r"(?:AK|II|JS|RA)-[A-Za-z0-9]{20,}"),
    _format(
        "doppler_token", "dp.", _start("dp") + r"\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}"
    ),
    _format("pulumi_token", "pul-", _start("pul-") + r"[0-9a-f]{40}"),
    _format("onepassword_token", "ops_ey", r"ops_ey[A-Za-z0-9_=-]{40,}"),
    _format("circleci_token", "CCI", r"CCIP(?:AT|RJ)_[A-Za-z0-9_]{20,}"),
    _format("buildkite_token", "bk", _start("bk") + r"(?:ua|ct|aj|pat)_[A-Za-z0-9]{30,}"),
    _format("prefect_key", "pn", _start("pn") + r"[ub]_[A-Za-z0-9]{30,}"),
    _format("age_key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[0-9A-Z]{40,}"),
    _format("age_key", "age-secret-key-", r"age-secret-key-1[0-9a-z]{40,}"),
    _format("facebook_token", "EAA", _start("EAA") + r"[A-Za-z0-9]{80,}"),
    _format(
        "jwt", "eyJ", _start("eyJ") + r"(?<![_-]eyJ)[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){1,3}"
    ),
)
