#!/usr/bin/env bash
# Sets up all that the demo needs on a Debian-like machine, then runs it: `admap demo`.
# Usage: bash examples/demo.sh [options of `admap demo`]
set -euo pipefail
cd "$(dirname "$0")/.."

. examples/packages.sh
need_server
install_missing

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "Making the virtual environment .venv" >&2
    python3 -m venv --clear .venv
fi
echo "Installing argilla-admap into .venv" >&2
.venv/bin/python -m pip install -q --disable-pip-version-check -e .
exec .venv/bin/admap demo "$@"
