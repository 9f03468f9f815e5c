# The few verbs of this repository. Everything here also runs without make.
.PHONY: coverage mutants test test-installs test-ray test-aegra check fmt bench lock faults soak soak-team night docs reference captures

test:            ## the tests, as a stranger runs them
	uv run pytest

test-installs:   ## wheel, sdist, editable, uv tool and uvx on every Python; needs the package index
	TESTS_EVERY_INSTALL=1 uv run pytest -n 0 tests/packaging

test-ray:        ## runs on a real Ray cluster of this machine; installs Ray in .venv-ray, which needs the package index
	test -x .venv-ray/bin/ray || { uv venv --python .venv/bin/python .venv-ray && uv pip install --python .venv-ray/bin/python 'ray[default]'; }
	TESTS_RAY=$(CURDIR)/.venv-ray/bin/ray uv run pytest -n 0 tests/runs/remote/test_ray.py

test-aegra:      ## the graph on Aegra, with Redis and PostgreSQL; installs Aegra in .venv-aegra, which needs Python 3.12 and the package index
	test -x .venv-aegra/bin/uvicorn || { uv venv --python 3.12 .venv-aegra && uv pip install --python .venv-aegra/bin/python 'aegra-api==0.11.0' -e '.[postgres]'; }
	TESTS_AEGRA=$(CURDIR)/.venv-aegra/bin/python uv run pytest -n 0 tests/server/test_aegra.py

check:           ## everything .ci/run checks before the tests
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy
	uv run lint-imports
	uv run python scripts/reference.py --check

fmt:             ## format, and fix what ruff can fix
	uv run ruff check --fix .
	uv run ruff format .

bench:           ## the measurements of docs/performance.md; prints a table, writes bench/results.json
	uv run --group bench python -m bench.overhead

lock:            ## renew requirements.lock from pyproject.toml
	uv run python scripts/lock.py

docs:            ## build the documentation site in site/; no network is needed once zensical is installed
	uv run --group docs zensical build --strict

reference:       ## update the generated parts of README.md and docs/
	uv run python scripts/reference.py --write

captures:        ## make the terminal pictures in docs/images again: real sessions, some minutes
	uv run --group captures python scripts/capture.py

faults:          ## every failure, attack and example that the normal run samples, about half an hour
	TESTS_EVERY_FAULT=1 uv run pytest tests/faults tests/session tests/sandbox tests/injection

soak:            ## kill processes until 10,000 were killed; stop it and start it again at any time
	uv run python -m bench.soak $(ARGS)

soak-team:       ## workers on one database that are killed and stopped for 30 minutes; ARGS="--minutes 5" plays less
	uv run python -m bench.soak_team --out bench/soak_team.json $(ARGS)

night:           ## simulated nights with faults and kills at real rates; ARGS="--nights 1" plays one
	uv run --group bench python -m bench.night $(ARGS)

coverage:        ## the tests with the coverage of lines in their processes; the floor is in pyproject.toml
	uv run pytest --cov --cov-report= --cov-fail-under=0
	uv run coverage report --skip-covered --skip-empty --sort=cover

mutants:         ## mutation testing of a sample, hours on two cores; ARGS="--report" shows what is known
	uv run --group mutants python -m scripts.mutants $(ARGS)
