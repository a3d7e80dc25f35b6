#!/usr/bin/env bash
# How long an import through the API takes, beside COPY of the same rows.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: scripts/servers.sh benches/import.sh standalone|fleet|copy [LINES [KILLS]]

Imports a file of LINES (1,000,000) artifacts with `rstuf admin import-artifacts` into an empty repository of
256 bins, killing it KILLS (0) times on the way, and prints what that took. With `copy` PostgreSQL alone takes the same rows.
The programs are those of target/release, or of the directory that BENCH_BIN names.
HELP
}

case ${1:-} in standalone | fleet | copy) ;; *) usage >&2; exit 2 ;; esac
kind=$1
lines=${2:-1000000}
kills=${3:-0}
bin=${BENCH_BIN:-$(dirname "${BASH_SOURCE[0]}")/../target/release}
directory=$(mktemp -d -p "${BENCH_DIR:-/var/tmp}" rstuf-import-XXXXXX)
programs=()
stop() {
    exec 2>/dev/null
    for program in "${programs[@]}"; do kill -KILL "$program" || true; done
    wait || true
    rm -rf "$directory"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

file=$directory/all.csv
awk -v lines="$lines" 'BEGIN { for (n = 0; n < lines; n++)
    printf "releases/%03d/artifact-%08d.tar.gz;%d;sha256;%064x\n", n % 1000, n, 1000 + n, n }' >"$file"
bytes=$(stat -c %s "$file")
now() { date +%s.%N; }
seconds() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'; }

if [ "$kind" = copy ]; then
    table=import_$RANDOM$RANDOM
    sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$RSTUF_TEST_POSTGRES" "$@"; }
    sql -c "create table $table (path text primary key, length bigint not null, algorithm text not null, digest text not null)"
    from=$(now)
    sql -c "\\copy $table from '$file' with (format csv, delimiter ';')"
    printf '{"kind": "copy", "lines": %s, "bytes": %s, "seconds": %s}\n' "$lines" "$bytes" "$(seconds "$from")"
    sql -c "drop table $table"
    exit
fi

# The programs would take these for settings.
postgres=${RSTUF_TEST_POSTGRES:-} redis=${RSTUF_TEST_REDIS:-} amqp=${RSTUF_TEST_AMQP:-}
unset RSTUF_TEST_POSTGRES RSTUF_TEST_REDIS RSTUF_TEST_AMQP
port=$((10000 + RANDOM % 20000))
api=http://127.0.0.1:$port
keys=$directory/keys
metadata=$directory/metadata
mkdir "$keys" "$metadata"
export RSTUF_LOG_LEVEL=warn
start() {
    "$@" >>"$directory/log" 2>&1 </dev/null &
    programs+=($!)
}
if [ "$kind" = standalone ]; then
    keys=$directory/data/keys
    metadata=$directory/data/metadata
    start "$bin/rstufd" standalone --data-dir "$directory/data" --listen "127.0.0.1:$port"
else
    database=import_$RANDOM$RANDOM
    psql --quiet --no-psqlrc "$postgres" -c "create database $database"
    broker=(RSTUF_BROKER_SERVER="$amqp" RSTUF_REDIS_SERVER="$redis")
    store=(RSTUF_DB_SERVER="${postgres%/*}/$database")
    env "${store[@]}" "$bin/rstufd" migrate >>"$directory/log" 2>&1
    start env "${broker[@]}" "${store[@]}" RSTUF_STORAGE_BACKEND=LocalStorage \
        RSTUF_LOCAL_STORAGE_BACKEND_PATH="$metadata" RSTUF_ONLINE_KEY_DIR="$keys" "$bin/rstufd" worker
    start env "${broker[@]}" RSTUF_LISTEN="127.0.0.1:$port" "$bin/rstufd" api
fi
for _ in $(seq 300); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
done
"$bin/rstuf-load" http --api "$api" --metadata-dir "$metadata" --bootstrap 256 --key-dir "$keys" --requests 1 >"$directory/load" ||
    { cat "$directory/load" "$directory/log" >&2; exit 1; }

import=("$bin/rstuf" admin --api-server "$api" import-artifacts --csv "$file" --json --skip-publish-artifacts)
settled() { sed -n 's/.*"lines":\([0-9]*\).*/\1/p' "$file.rstuf-import" 2>/dev/null || true; }
from=$(now)
for kill in $(seq "$kills"); do
    wanted=$((lines * kill / (kills + 2)))
    "${import[@]}" >/dev/null 2>>"$directory/log" &
    until [ "$(settled | grep . || echo 0)" -ge "$wanted" ]; do sleep 0.02; done
    kill -KILL $!
    wait $! 2>/dev/null || true
done
"${import[@]}" >"$directory/report" 2>>"$directory/log"
staged=$(seconds "$from")
from=$(now)
"$bin/rstuf" artifact publish --wait --timeout 3600 --api-server "$api" --json >/dev/null
published=$(seconds "$from")
memory() { for program in "${programs[@]}"; do cat "/proc/$program/status"; done | awk '/^VmHWM/ { sum += $2 } END { print sum }'; }
visible=$(cat "$metadata"/*.bins-*.json | grep -o '"releases/[^"]*"' | sort -u | wc -l)
printf '{"kind": "%s", "lines": %s, "bytes": %s, "kills": %s, "seconds_until_held": %s, "seconds_to_publish": %s, "server_most_kib": %s, "in_metadata": %s, "report": %s}\n' \
    "$kind" "$lines" "$bytes" "$kills" "$staged" "$published" "$(memory)" "$visible" "$(tr -d '\n' <"$directory/report")"
