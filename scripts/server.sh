#!/usr/bin/env bash
# One private server for tests, in the foreground, on a directory and a port of its own.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: scripts/server.sh postgres|redis|rabbitmq DIRECTORY PORT [IDENTITY]

Makes DIRECTORY if it is missing, and runs the server on 127.0.0.1:PORT until it is killed. A second
run on the same directory is a restart: it finds what the first left. Nothing outside of DIRECTORY is
used or written, and no other server is touched. What it starts belongs to its process group: to end
it at once, kill the group.

  postgres   user rstuf without password, database postgres: postgres://rstuf@127.0.0.1:PORT/postgres
  redis      keeps nothing on disk: redis://127.0.0.1:PORT
  rabbitmq   user guest, password guest: amqp://guest:guest@127.0.0.1:PORT; takes PORT + 1 and PORT + 2 too;
             virtual hosts: / and, for who wants one alone, it-0 to it-31

With IDENTITY, a directory with the files cert.pem, key.pem, user and password, the server speaks nothing
but TLS on PORT, and lets in nobody but this user with this password.
HELP
}

[ $# -eq 3 ] || [ $# -eq 4 ] || { usage >&2; exit 2; }
kind=$1 directory=$2 port=$3 identity=${4-}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
user= password=
if [ -n "$identity" ]; then
    user=$(<"$identity/user") password=$(<"$identity/password")
    # PostgreSQL takes no private key that others may read.
    install -m 600 "$identity/cert.pem" "$identity/key.pem" "$identity/password" "$directory"
fi

# The servers refuse to run as root, or are better not.
as() {
    local user=$1
    shift
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$user" "$directory"
        # Parents may be closed to others.
        local parent=$directory
        while [ "$parent" != / ]; do
            parent=$(dirname "$parent")
            [ -x "$parent" ] && chmod o+x "$parent" 2>/dev/null || true
        done
        exec setpriv --reuid="$user" --regid="$user" --init-groups --reset-env -- "$@"
    fi
    exec "$@"
}

postgres() {
    local bin
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
    bin=${bin:-$(dirname "$(command -v postgres)")}
    cd "$directory"
    # initdb writes the version last of all: a directory without it is a half-made one.
    if [ ! -f made ]; then
        rm -rf data
        local auth=(--auth=trust)
        [ -z "$identity" ] || auth=(--auth=scram-sha-256 --pwfile=password)
        (as postgres "$bin/initdb" --pgdata=data --username="${user:-rstuf}" "${auth[@]}" --encoding=UTF8 --locale=C >initdb.log 2>&1)
        (as postgres touch made)
    fi
    local tls=()
    if [ -n "$identity" ]; then
        echo 'hostssl all all all scram-sha-256' >data/pg_hba.conf
        tls=(-c ssl=on -c "ssl_cert_file=$directory/cert.pem" -c "ssl_key_file=$directory/key.pem")
    fi
    as postgres "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$directory" -c max_connections=200 "${tls[@]}"
}

redis() {
    cd "$directory"
    local listen=(--port "$port")
    if [ -n "$identity" ]; then
        printf 'user default off\nuser %s on >%s ~* &* +@all\n' "$user" "$password" >users.acl
        listen=(--port 0 --tls-port "$port" --tls-cert-file cert.pem --tls-key-file key.pem --tls-auth-clients no
            --aclfile users.acl)
    fi
    as redis "$(command -v redis-server)" --bind 127.0.0.1 "${listen[@]}" --save '' --appendonly no \
        --dir "$directory" --databases 128
}

rabbitmq() {
    # The node's own port, that of its epmd, and that of its distribution: nothing is shared with a
    # broker of the system. Erlang wants a home for its cookie.
    local epmd=$((port + 1)) distribution=$((port + 2))
    mkdir -p "$directory/home"
    printf '[].\n' >"$directory/enabled_plugins"
    local listen="listeners.tcp.default = 127.0.0.1:$port" user=${user:-guest} password=${password:-guest}
    if [ -n "$identity" ]; then
        listen=$(printf '%s\n' 'listeners.tcp = none' "listeners.ssl.default = 127.0.0.1:$port" \
            "ssl_options.certfile = $directory/cert.pem" "ssl_options.keyfile = $directory/key.pem")
    fi
    printf 'loopback_users = none\n%s\nlog.console = true\nlog.console.level = warning\n' \
        "$listen" >"$directory/rabbitmq.conf"
    printf 'load_definitions = %s\n' "$directory/definitions.json" >>"$directory/rabbitmq.conf"
    local hosts='{"name":"/"}' rights number
    rights='{"user":"'$user'","vhost":"/","configure":".*","write":".*","read":".*"}'
    for number in {0..31}; do
        hosts+=",{\"name\":\"it-$number\"}"
        rights+=",{\"user\":\"$user\",\"vhost\":\"it-$number\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}"
    done
    printf '{"users":[{"name":"%s","password":"%s","tags":"administrator"}],"vhosts":[%s],"permissions":[%s]}\n' \
        "$user" "$password" "$hosts" "$rights" >"$directory/definitions.json"
    # Left to itself the broker would start an epmd that outlives it; this one is of our process group.
    (as rabbitmq epmd -port "$epmd" -address 127.0.0.1) &
    as rabbitmq env HOME="$directory/home" PATH="$PATH" LANG=C.UTF-8 \
        RABBITMQ_NODENAME="rstuf$port@localhost" RABBITMQ_CONFIG_FILE="$directory/rabbitmq.conf" \
        RABBITMQ_DIST_PORT="$distribution" ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_MNESIA_BASE="$directory/mnesia" RABBITMQ_LOG_BASE="$directory/log" RABBITMQ_LOGS=- \
        RABBITMQ_ENABLED_PLUGINS_FILE="$directory/enabled_plugins" RABBITMQ_PID_FILE="$directory/pid" \
        RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +S 2:2 -kernel inet_dist_use_interface {127,0,0,1}" \
        /usr/lib/rabbitmq/bin/rabbitmq-server
}

case $kind in
    postgres | redis | rabbitmq) "$kind" ;;
    *) usage >&2; exit 2 ;;
esac
