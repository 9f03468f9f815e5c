"""The package of each import, the dependencies that packages install, and the content of common images."""

from collections.abc import Iterable, Mapping
from typing import Final

PACKAGE_OF: Final[Mapping[str, str]] = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "google": "protobuf",
    "hydra": "hydra-core",
    "ignite": "pytorch-ignite",
    "Levenshtein": "levenshtein",
    "lightning": "lightning",
    "pytorch_lightning": "pytorch-lightning",
    "OpenSSL": "pyopenssl",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "sentence_transformers": "sentence-transformers",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Package names that differ from their import names, keyed by import."""
ALSO_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python"),
    "faiss-cpu": ("faiss-gpu", "faiss-gpu-cu12"),
    "protobuf": ("google-cloud-storage", "google-generativeai", "google-genai"),
    "tensorflow": ("tensorflow-cpu", "tf-nightly"),
    "psycopg2": ("psycopg2-binary",),
}
"""Other packages that provide the same import."""

_HUB = ("huggingface-hub", "pyyaml", "tqdm", "filelock", "packaging", "fsspec", "typing-extensions", "httpx")
_DATA = ("pandas", "numpy", "pyarrow", "dill", "multiprocess", "xxhash", "requests", "python-dateutil", *_HUB)
_TORCH = ("typing-extensions", "filelock", "sympy", "networkx", "jinja2", "fsspec", "mpmath")
_MODELS = ("tokenizers", "safetensors", "numpy", "regex", "requests", *_HUB)
_ACCELERATE = ("accelerate", "torch", "psutil", *_TORCH, *_MODELS)

DEPENDENCIES: Final[Mapping[str, tuple[str, ...]]] = {
    "huggingface-hub": _HUB,
    "datasets": ("datasets", *_DATA),
    "evaluate": ("datasets", *_DATA),
    "torch": _TORCH,
    "torchvision": ("torch", "numpy", "pillow", *_TORCH),
    "torchaudio": ("torch", *_TORCH),
    "transformers": _MODELS,
    "tokenizers": _HUB,
    "accelerate": _ACCELERATE,
    "peft": ("transformers", *_ACCELERATE),
    "trl": ("transformers", "datasets", *_ACCELERATE, *_DATA),
    "unsloth": ("trl", "peft", "transformers", "datasets", "bitsandbytes", *_ACCELERATE, *_DATA),
    "sentence-transformers": ("transformers", "torch", "scikit-learn", "scipy", "pillow", *_TORCH, *_MODELS),
    "setfit": ("sentence-transformers", "transformers", "datasets", "evaluate", "scikit-learn", "torch", *_DATA),
    "bitsandbytes": ("torch", "numpy", *_TORCH),
    "lightning": ("torch", "pytorch-lightning", "torchmetrics", "numpy", "pyyaml", "tqdm", *_TORCH),
    "pytorch-lightning": ("torch", "torchmetrics", "numpy", "pyyaml", "tqdm", *_TORCH),
    "timm": ("torch", "torchvision", "safetensors", "numpy", "pillow", *_HUB, *_TORCH),
    "diffusers": ("pillow", "importlib-metadata", *_MODELS),
    "pandas": ("numpy", "python-dateutil", "pytz", "six"),
    "scipy": ("numpy",),
    "scikit-learn": ("numpy", "scipy", "joblib", "threadpoolctl"),
    "scikit-image": ("numpy", "scipy", "pillow", "networkx", "imageio"),
    "matplotlib": ("numpy", "pillow", "python-dateutil", "packaging"),
    "seaborn": ("numpy", "pandas", "matplotlib"),
    "statsmodels": ("numpy", "scipy", "pandas"),
    "xgboost": ("numpy", "scipy"),
    "lightgbm": ("numpy", "scipy"),
    "opencv-python": ("numpy",),
    "pyarrow": (),
    "polars": (),
    "jax": ("jaxlib", "numpy", "scipy", "ml-dtypes"),
    "flax": ("jax", "numpy", "optax", "msgpack", "rich", "pyyaml"),
    "tensorflow": ("numpy", "keras", "h5py", "protobuf", "requests", "six", "tensorboard"),
    "trackio": ("pandas", "gradio", "plotly", "pillow", "pydub", "numpy", *_HUB),
    "gradio": ("pandas", "numpy", "pillow", "pydantic", "fastapi", "uvicorn", "httpx", *_HUB),
    "wandb": ("pyyaml", "requests", "protobuf", "pydantic", "platformdirs"),
    "vllm": ("torch", "transformers", "numpy", "openai", "pydantic", "fastapi", "pillow", *_ACCELERATE),
    "lighteval": ("transformers", "datasets", "torch", "numpy", *_ACCELERATE, *_DATA),
    "lm-eval": ("transformers", "datasets", "evaluate", "torch", "scikit-learn", *_ACCELERATE, *_DATA),
    "openai": ("httpx", "pydantic", "tqdm", "anyio"),
    "deepspeed": ("torch", "numpy", "pydantic", "psutil", "einops", *_TORCH),
}
"""The dependencies of each package that scripts commonly import."""

_PYTORCH = ("torch", "torchvision", "torchaudio", "numpy", "pillow", "pyyaml", "requests", *_TORCH)
_TRANSFORMERS = (*_PYTORCH, "transformers", "datasets", "peft", "evaluate", "scikit-learn", *_ACCELERATE, *_DATA)
IMAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": (),
    "ghcr.io/astral-sh/uv": (),
    "pytorch/pytorch": _PYTORCH,
    "huggingface/transformers-pytorch-gpu": _TRANSFORMERS,
    "huggingface/transformers-pytorch-deepspeed-latest-gpu": (*_TRANSFORMERS, "deepspeed"),
    "huggingface/trl": (*_TRANSFORMERS, "trl"),
    "huggingface/trl-latest-gpu": (*_TRANSFORMERS, "trl"),
}
"""The packages in common images, keyed by image name without tag."""


def image_packages(image: str | None) -> frozenset[str] | None:
    """Return the packages in an image; None for an unknown image."""
    if image is None:
        return None
    name = image.partition("@")[0]
    head, _, tail = name.rpartition("/")
    contained = IMAGES.get(f"{head}/{tail.partition(':')[0]}".lstrip("/"))
    return frozenset(contained) if contained is not None else None


def with_dependencies(packages: Iterable[str]) -> frozenset[str]:
    """Return the packages and their known dependencies."""
    given = frozenset(packages)
    return given.union(*(DEPENDENCIES.get(one, ()) for one in given))


def provides(packages: frozenset[str], module: str) -> bool:
    """Whether one of the packages provides this import."""
    package = PACKAGE_OF.get(module, module.replace("_", "-").lower())
    return bool({package, *ALSO_BY.get(package, ())} & packages)
