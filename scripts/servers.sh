#!/usr/bin/env bash
# Private servers around a command.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")

usage() {
    cat <<'HELP'
usage: scripts/servers.sh COMMAND [ARGUMENT...]

Starts PostgreSQL, Redis and RabbitMQ on free ports and an empty temporary directory, runs COMMAND
with their addresses in the environment, and stops exactly these servers again.

  RSTUF_TEST_POSTGRES   postgres://rstuf@127.0.0.1:…/postgres
  RSTUF_TEST_REDIS      redis://127.0.0.1:…
  RSTUF_TEST_AMQP       amqp://guest:guest@127.0.0.1:…, with the virtual hosts / and it-0 to it-11

Example: scripts/servers.sh cargo test --lib store::
HELP
}

[ $# -gt 0 ] || { usage >&2; exit 2; }
case $1 in --help | -h) usage; exit 0 ;; esac

directory=$(mktemp -d -t rstuf-servers-XXXXXX)
chmod 755 "$directory"
groups=()
stop() {
    # The shell would report each of these as killed.
    exec 2>/dev/null
    for group in "${groups[@]}"; do kill -KILL -- "-$group" || true; done
    wait || true
    rm -rf "$directory"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Three ports in a row that are free now. The range is below that of the ports which systems hand out.
free_ports() {
    local port
    while :; do
        port=$((10000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null && continue
        (exec 3<>"/dev/tcp/127.0.0.1/$((port + 2))") 2>/dev/null && continue
        echo "$port"
        return
    done
}

start() {
    setsid "$here/server.sh" "$1" "$directory/$1" "$2" >"$directory/$1.log" 2>&1 </dev/null &
    groups+=($!)
}

# Waits until a server takes connections; tells its last words if it ends before.
until_ready() {
    local name=$1 port=$2 group=$3 waited=0
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        if ! kill -0 "$group" 2>/dev/null || [ $waited -ge 1200 ]; then
            printf 'servers.sh: %s did not start:\n' "$name" >&2
            tail -n 20 "$directory/$name.log" >&2
            exit 1
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
}

postgres=$(free_ports)
start postgres "$postgres"
redis=$(free_ports)
start redis "$redis"
rabbitmq=$(free_ports)
start rabbitmq "$rabbitmq"
until_ready postgres "$postgres" "${groups[0]}"
until_ready redis "$redis" "${groups[1]}"
until_ready rabbitmq "$rabbitmq" "${groups[2]}"

export RSTUF_TEST_POSTGRES=postgres://rstuf@127.0.0.1:$postgres/postgres
export RSTUF_TEST_REDIS=redis://127.0.0.1:$redis
export RSTUF_TEST_AMQP=amqp://guest:guest@127.0.0.1:$rabbitmq
status=0
"$@" || status=$?
exit "$status"
