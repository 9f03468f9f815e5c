"""The page for former users names every option, command, setting, variable, event and tool, with what exists now."""

import re
from collections.abc import Iterator

import pytest

from ml_intern.commands.options import SWITCHES
from ml_intern.configs.env import CREDENTIALS, ENDPOINTS
from ml_intern.configs.schema import settings_rows
from ml_intern.configs.settings import WITHOUT_EFFECT
from ml_intern.configs.variables import PROGRAM_VARIABLES, VARIABLES_WITHOUT_EFFECT
from ml_intern.graph.events import EVENTS
from ml_intern.outbound.importing.former_tools import FORMER_TOOLS
from ml_intern.terminal.slash.table import BY_NAME, LEAVING
from ml_intern.tools.registry import BUILTIN
from tests.docs.pages import DOCS

FORMER = {
    "Options": "PROMPT -m --model --max-iterations --no-stream --sandbox-tools",
    "Slash commands and words": "/help /new /clear /undo /compact /resume /model /effort /yolo /status /share-traces "
    "/quit /exit exit quit",
    "Answers at an approval": "y yes n no yolo",
    "Settings": "model_name mcpServers save_sessions session_dataset_repo share_traces personal_trace_repo_template "
    "auto_save_interval heartbeat_interval_s yolo_mode max_iterations confirm_cpu_jobs auto_file_upload tool_runtime "
    "reasoning_effort messaging.enabled messaging.auto_event_types messaging.destinations "
    + " ".join(
        f"messaging.destinations.NAME.{key}"
        for key in ["provider", "token", "channel", "allow_agent_tool", "allow_auto_events", "username", "icon_emoji"]
    ),
    "Environment variables": "HF_TOKEN HUGGINGFACE_HUB_TOKEN GITHUB_TOKEN ANTHROPIC_API_KEY OPENAI_API_KEY S2_API_KEY "
    "SLACK_BOT_TOKEN SLACK_CHANNEL_ID SLACK_CHANNEL ML_INTERN_CLI_CONFIG ML_INTERN_SLACK_NOTIFICATIONS "
    "ML_INTERN_SLACK_DESTINATION ML_INTERN_SLACK_AUTO_EVENTS ML_INTERN_SLACK_ALLOW_AGENT_TOOL "
    "ML_INTERN_SLACK_ALLOW_AUTO_EVENTS OLLAMA_BASE_URL OLLAMA_API_KEY VLLM_BASE_URL VLLM_API_KEY LMSTUDIO_BASE_URL "
    "LMSTUDIO_API_KEY LLAMACPP_BASE_URL LLAMACPP_API_KEY LOCAL_LLM_BASE_URL LOCAL_LLM_API_KEY "
    "ML_INTERN_ARTIFACT_COLLECTION_CACHE CLAWD_WEB_SEARCH_BASE_URL HF_SESSION_UPLOAD_TOKEN HF_ADMIN_TOKEN "
    "SANDBOX_API_TOKEN TRACKIO_PROJECT TRACKIO_SPACE_ID MONGODB_URI MONGODB_DB OAUTH_CLIENT_ID OAUTH_CLIENT_SECRET "
    "OAUTH_SCOPES OPENID_PROVIDER_URL SPACE_HOST SPACE_ID PORT KPI_SOURCE_REPO KPI_TARGET_REPO "
    "ML_INTERN_KPIS_DISABLED REAPER_IDLE_MINUTES REAPER_INTERVAL_S REAP_TEARDOWN_TIMEOUT_S",
    "Events": "processing ready assistant_chunk assistant_message assistant_stream_end tool_call tool_output tool_log "
    "tool_state_change approval_required turn_complete error interrupted compacted undo_complete shutdown plan_update "
    "new_complete resume_complete llm_call hf_job_submit hf_job_complete sandbox_create sandbox_destroy session_update "
    "session_terminated feedback credits_topped_up pro_conversion pro_cta_click",
    "Tools": "bash read write edit research web_search notify plan_tool hf_jobs sandbox_create hf_papers "
    "hf_inspect_dataset hf_repo_files hf_repo_git explore_hf_docs find_hf_api fetch_hf_docs github_find_examples "
    "github_list_repos github_read_file",
}
"""The names of the former program."""


def current() -> dict[str, set[str]]:
    keys = {key.strip("`") for key, *_ in settings_rows()}
    return {
        "Options": {"PROMPT", *SWITCHES},
        "Slash commands and words": {*BY_NAME, *LEAVING},
        "Answers at an approval": {"y", "yes", "n", "no", "a"},
        "Settings": keys,
        "Environment variables": {*CREDENTIALS, *ENDPOINTS, *PROGRAM_VARIABLES, *keys},
        "Events": set(EVENTS),
        "Tools": {spec.name for spec in BUILTIN},
    }


def rows(heading: str) -> Iterator[tuple[list[str], str, str]]:
    """Yield the former names of each row, the current name or "none", and the note."""
    section = (DOCS / "coming-from-ml-intern.md").read_text().partition(f"### {heading}\n")[2].partition("\n#")[0]
    for line in section.splitlines():
        before, now, note = ([cell.strip() for cell in line.strip("|").split("|")] + ["", "", ""])[:3]
        if names := re.findall(r"`([^`]+)`", before):
            yield names, now.strip("`"), note


@pytest.mark.parametrize("heading", FORMER)
def test_every_former_name_is_in_the_table_once(heading: str) -> None:
    assert sorted(name for names, _, _ in rows(heading) for name in names) == sorted(FORMER[heading].split())


@pytest.mark.parametrize("heading", FORMER)
def test_every_name_has_one_that_exists_or_a_reason(heading: str) -> None:
    known = current()[heading]
    wrong = [names for names, now, note in rows(heading) if (not note if now == "none" else now not in known)]
    assert wrong == []


def test_the_table_says_what_the_program_says() -> None:
    settings = {name for names, now, _ in rows("Settings") if now == "none" for name in names}
    assert settings == set(WITHOUT_EFFECT)
    without = {name for names, now, _ in rows("Environment variables") if now == "none" for name in names}
    assert {name for name in without if name.startswith("ML_INTERN_")} == set(VARIABLES_WITHOUT_EFFECT)
    tools = {name: now for names, now, _ in rows("Tools") for name in names if name != now}
    assert tools == {name: FORMER_TOOLS[name] for name in tools}
