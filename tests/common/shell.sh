# For the scripts under tests/: where things are, how a missing program comes in, a directory and a daemon that last as
# long as the script. Sourced with `set -euo pipefail` in force; ends nothing but what it started.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
BIOSIGD=${BIOSIGD:-$TARGET/release/biosigd}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/biosigd-test.XXXXXX")
STARTED=()

# Ends what the script started and removes its directory, however the script ends.
clean_up() {
    local pid
    for pid in "${STARTED[@]}"; do
        kill -CONT "$pid" 2>/dev/null || continue
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "${STARTED[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$WORK"
}
trap clean_up EXIT

fail() {
    echo "$(basename "$(dirname "$0")")/$(basename "$0"): $*" >&2
    exit 1
}

# install PACKAGE...: with apt as root; anyone else is told what to install.
install() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "missing; install it first: sudo apt-get install --no-install-recommends $*"
    fi
    echo "   installing $*"
    {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
    } >"$WORK/apt.log" 2>&1 || { tail -n 20 "$WORK/apt.log" >&2; fail "apt-get could not install $*"; }
}

# need PROGRAM PACKAGE...: PROGRAM is there, or its packages are installed.
need() {
    local program=$1
    shift
    command -v "$program" >/dev/null || install "$@"
}

# The release build, where no other binary was named.
need_daemon() {
    [ -x "$BIOSIGD" ] || (cd "$ROOT" && cargo build --release --locked --quiet)
}

# The Python environment, made again whenever its list of packages changes. Sets PYTHON.
need_python() {
    local list=$ROOT/tests/readers/requirements.txt environment=$TARGET/test-python
    need python3 python3 python3-venv
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
    if ! cmp -s "$list" "$environment/installed.txt"; then
        rm -rf "$environment"
        python3 -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list"
        cp "$list" "$environment/installed.txt"
    fi
    PYTHON=$environment/bin/python
}

# start_daemon FILE: runs the daemon with this configuration, which should ask for port 0. Sets DAEMON (its process) and
# URL.
start_daemon() {
    local waited
    need_daemon
    # There before the daemon, which opens it in its own time.
    : >"$WORK/daemon.log"
    "$BIOSIGD" run -c "$1" >"$WORK/daemon.log" 2>&1 &
    DAEMON=$!
    STARTED+=("$DAEMON")
    for ((waited = 0; waited < 300; waited++)); do
        URL=$(sed -n 's|.*look at \(http://[^ ]*/\)$|\1|p' "$WORK/daemon.log")
        [ -z "$URL" ] || return 0
        kill -0 "$DAEMON" 2>/dev/null || break
        sleep 0.1
    done
    cat "$WORK/daemon.log" >&2
    fail "the daemon did not start"
}

# stop_daemon: asks it to stop, as systemd would, and expects a clean end.
stop_daemon() {
    kill -TERM "$DAEMON"
    wait "$DAEMON" || { cat "$WORK/daemon.log" >&2; fail "the daemon ended with $?"; }
}
