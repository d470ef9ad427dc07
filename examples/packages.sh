# Sourced by the set-up scripts: names and installs the Debian packages of programs that this machine lacks.

missing=""
# need PROGRAM PACKAGE: remembers the package where the program is not there.
need() { command -v "$1" >/dev/null || missing="$missing $2"; }

# What the embedded Argilla and a virtual environment need.
need_server() {
    need java default-jdk-headless
    need javac default-jdk-headless
    need mvn maven
    need redis-server redis-server
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
}

install_missing() {
    missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    local as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    echo "This machine lacks: $missing" >&2
    echo "They are installed now with apt-get (this asks for your password if you are not root; Ctrl-C stops it)." >&2
    $as_root apt-get update -q >&2
    # shellcheck disable=SC2086  # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
}
