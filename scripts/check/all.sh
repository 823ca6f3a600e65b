#!/usr/bin/env bash
# Everything that must pass before a commit: lint, format, types, tests. Arguments go to pytest.
# Needs an editable install with the development tools: pip install -e '.[dev]'
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

ruff check .
ruff format --check .
mypy
pytest "$@"
