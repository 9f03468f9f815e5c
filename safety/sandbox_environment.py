"""Which variables a command inside the sandbox gets: an allow-list, and named secrets for one command alone."""

import re
from collections.abc import Iterable, Mapping

_ALLOWED = re.compile(
    r"(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TERM|COLUMNS|LINES|PAGER|GIT_PAGER|GIT_TERMINAL_PROMPT|NO_COLOR|"
    r"FORCE_COLOR|CI|PYTHON\w+|VIRTUAL_ENV|CONDA_(?:PREFIX|DEFAULT_ENV|SHLVL|EXE|PYTHON_EXE)|PYENV_\w+|NVM_DIR|RUSTUP_\w+|CARGO_HOME|"
    r"JAVA_HOME|GOPATH|GOROOT|GOCACHE|LD_LIBRARY_PATH|LIBRARY_PATH|CPATH|PKG_CONFIG_PATH|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|MAKEFLAGS|"
    r"CUDA_\w+|CUDNN_\w+|NVIDIA_\w+|NCCL_\w+|ROCM_\w+|HIP_\w+|HSA_\w+|XLA_\w+|JAX_\w+|TF_\w+|TORCH\w*|PYTORCH_\w+|"
    r"OMP_\w+|MKL_\w+|OPENBLAS_\w+|NUMEXPR_\w+|TOKENIZERS_PARALLELISM|TRITON_\w+|ACCELERATE_\w+|"
    r"HF_(?:ENDPOINT|HOME|HUB_CACHE|DATASETS_CACHE|ASSETS_CACHE|XET_CACHE|HUB_\w+|DATASETS_\w+|XET_\w+)|TRANSFORMERS_\w+|DATASETS_\w+|"
    r"WANDB_(?:MODE|DISABLED|SILENT|PROJECT|DIR)|MLFLOW_TRACKING_URI|TENSORBOARD_\w+|UV_\w+|PIP_\w+|XDG_CACHE_HOME|"
    r"SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|GIT_SSL_CAINFO|NIX_SSL_CERT_FILE|"
    r"DEBIAN_FRONTEND|SOURCE_DATE_EPOCH|SEED|RANK|LOCAL_RANK|WORLD_SIZE|MASTER_\w+|ML_INTERN_CALL)\Z"
)
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PAT|CREDENTIALS?)\Z")
_LOGIN_IN_URL = re.compile(r"://[^/\s@]+@")


def inside_environment(environment: Mapping[str, str], secrets: Iterable[str] = ()) -> dict[str, str]:
    """The variables of `environment` that go inside; TMPDIR is the sandbox's own /tmp.

    A value that holds a login in a URL stays outside, and so does every name of a secret that is not in `secrets`.
    """
    wanted = set(secrets)
    kept = {
        name: value
        for name, value in environment.items()
        if name in wanted or (_ALLOWED.match(name) and not _SECRET.search(name) and not _LOGIN_IN_URL.search(value))
    }
    return {**kept, "TMPDIR": "/tmp"}  # noqa: S108  inside, /tmp belongs to this command alone
