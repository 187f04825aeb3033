#!/bin/sh
# Compile the trained MovieLens package, serve it, ask it for films, stop it.
#   NORN     the norn binary        (default build/release/bin/norn)
#   PYTHON   a Python with tests/requirements.txt (default build/venv/bin/python)
# Arguments go to examples/movielens/demo.py, for example: --user 42
set -eu
cd "$(dirname "$0")/../.."
NORN=${NORN:-build/release/bin/norn}
PYTHON=${PYTHON:-build/venv/bin/python}
package=examples/movielens/repository/movielens/1
work=build/demo
server=

say() {
    if [ -t 1 ]; then printf '\033[1m==> %s\033[0m\n' "$*"; else echo "==> $*"; fi
}
fail() {
    echo "demo: $*" >&2
    exit 1
}
stop_server() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
}
trap stop_server EXIT
trap 'exit 130' INT TERM

[ -x "$NORN" ] || fail "$NORN is not there; run: make demo"
"$PYTHON" -c '' 2>/dev/null || fail "$PYTHON is not there; run: make demo"
mkdir -p "$work"

if ! "$PYTHON" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("recbole") is None)'; then
    say "fetching the MovieLens 100K data (the PyPI package recbole, without its dependencies)"
    "$PYTHON" -m pip install --disable-pip-version-check --quiet --no-deps recbole==1.2.1
fi

say "norn check $package"
"$NORN" check "$package"
# What a trainer's pipeline would publish: the package with its model compiled.
served=$work/repository/movielens/1
rm -rf "$work/repository"
mkdir -p "$served"
cp -R "$package/tables" "$package/norn.json" "$served"
say "norn compile $package -o $served/model.norn"
"$NORN" compile "$package" -o "$served/model.norn"

ports=$("$PYTHON" -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))')
# shellcheck disable=SC2086  # three ports, three words
set -- $ports "$@"
http=$1 grpc=$2 metrics=$3
shift 3

say "norn serve --repository $work/repository (HTTP $http, gRPC $grpc, metrics $metrics)"
"$NORN" serve --repository "$work/repository" --http-port "$http" --grpc-port "$grpc" \
    --metrics-port "$metrics" >"$work/server.log" 2>&1 &
server=$!
"$PYTHON" - "$http" "$server" <<'READY' || { cat "$work/server.log" >&2; fail "the server did not become ready"; }
import os, sys, time, urllib.request
port, pid = int(sys.argv[1]), int(sys.argv[2])
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2)
        sys.exit(0)
    except OSError:
        time.sleep(0.05)
    try:
        os.kill(pid, 0)
    except OSError:
        break
sys.exit(1)
READY

status=0
"$PYTHON" -m examples.movielens.demo --http "localhost:$http" --grpc "localhost:$grpc" "$@" || status=$?

say "stopping the server"
kill -TERM "$server"
stopped=0
wait "$server" || stopped=$?
server=
[ "$stopped" = 0 ] || fail "the server ended with status $stopped; see $work/server.log"
[ "$status" = 0 ] || fail "a check failed"
say "done"
