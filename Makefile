# The few verbs of this repository. Everything here also runs without make.
.PHONY: test check fmt bench lock soak readme

test:            ## the tests, as a stranger runs them
	uv run pytest

check:           ## everything .ci/run asks before the tests
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy
	uv run lint-imports
	uv run python scripts/readme.py --check

fmt:             ## format and mend what can be mended
	uv run ruff check --fix .
	uv run ruff format .

bench:           ## the measurements of the README; prints a table, writes bench/results.json
	uv run --group bench python -m bench.overhead

lock:            ## renew requirements.lock from pyproject.toml
	uv run python scripts/lock.py

readme:          ## renew the generated tables of README.md
	uv run python scripts/readme.py --write

soak:            ## kill the agent at every statement of a turn, not at every 17th; takes half an hour
	ML_INTERN_KILL_STRIDE=1 uv run pytest tests/graph/test_kill.py
