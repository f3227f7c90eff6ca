# For tests/stall/run: a small disk of its own that can be frozen, broken, filled and taken away, and a recorder on it.
# Sourced after ../common/shell.sh.

# Where the disk stands: a directory that nothing can be written to while no disk is there, as a mount point should be.
SLOT=$WORK/slot
DISK=$SLOT/disk
RECORDINGS=$DISK/recordings
WATCHER=

# A frozen disk would hold up the daemon's end, and with it the script's.
thaw_and_clean_up() {
    fsfreeze -u "$DISK" 2>/dev/null || true
    local pid
    for pid in "${STARTED[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${STARTED[@]}"; do wait "$pid" 2>/dev/null || true; done
    if mountpoint -q "$DISK"; then umount "$DISK"; fi
    if mountpoint -q "$SLOT"; then umount "$SLOT"; fi
    clean_up
}
trap thaw_and_clean_up EXIT

# fresh_disk [SIZE]: 64 MiB of new file system, which becomes read-only when the kernel finds a fault in it.
fresh_disk() {
    if ! mountpoint -q "$SLOT"; then
        mkdir -p "$SLOT"
        mount -t tmpfs -o size=64k,mode=755 tmpfs "$SLOT"
        mkdir "$DISK"
        mount -o remount,ro "$SLOT"
    fi
    if mountpoint -q "$DISK"; then umount "$DISK"; fi
    rm -f "$WORK/image"
    truncate -s "${1:-64M}" "$WORK/image"
    mkfs.ext4 -q "$WORK/image"
    put_in
}
put_in() { mount -o loop,errors=remount-ro "$WORK/image" "$DISK"; }

# record KEYS...: 32 counted channels at 4 kHz onto the disk, with these keys of [recorder]; two seconds later it records.
record() {
    {
        printf '[source]\nkind = "synthetic"\nsignal = "counter"\n[chain.live]\n[[chain.live.stage]]\nkind = "high_pass"\n'
        printf '[http]\nlisten = "127.0.0.1:0"\n[recorder]\ndir = "%s"\n' "$RECORDINGS"
        printf '%s\n' "$@"
    } >"$WORK/stall.toml"
    start_daemon "$WORK/stall.toml"
    sleep 2.5
}

# watch: a client of the live stream.
watch() {
    "$PYTHON" "$ROOT/tests/stall/watch.py" "ws${URL#http}v1/stream" >"$WORK/watched" &
    WATCHER=$!
    STARTED+=("$WATCHER")
}

# live_view_went_on: the client that watches was never kept waiting. Sets SEEN, a part of what a script prints.
live_view_went_on() {
    local seen missing pause
    kill -TERM "$WATCHER"
    wait "$WATCHER" || fail "the client of the live stream failed"
    read -r seen missing pause <"$WORK/watched"
    # A machine that is busy with other things may keep it waiting, but not for as long as the disk was away.
    awk -v seen="$seen" -v pause="$pause" 'BEGIN { exit !(seen > 0 && pause < 3) }' \
        || fail "the live view stood still for $pause s after $seen frames"
    SEEN="a live client saw $seen frames, $missing missing, no pause above $pause s"
}

# metric SAMPLE: its value.
metric() { curl -sf --max-time 5 "${URL}metrics" | awk -v name="$1" '$1 == name { print $2 }'; }

# health: the status code of /healthz.
health() { curl -s --max-time 5 -o "$WORK/health" -w '%{http_code}' "${URL}healthz"; }

# status PATH...: a value of the status.
status() {
    curl -sf --max-time 5 "${URL}api/v1/status" | python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[key]
print(json.dumps(value))' "$@"
}

# comes WHAT COMMAND...: waits up to 30 s until COMMAND succeeds.
comes() {
    local what=$1 waited
    shift
    for ((waited = 0; waited < 150; waited++)); do
        "$@" && return 0
        sleep 0.2
    done
    cat "$WORK/daemon.log" >&2
    fail "$what did not come about"
}
health_is() { [ "$(health)" = "$1" ]; }
active_is() { [ "$(status recording active)" = "$1" ]; }
backlog_below() { awk -v now="$(metric biosigd_recorder_backlog_seconds)" -v limit="$1" 'BEGIN { exit !(now < limit) }'; }
said() { grep -q "$1" "$WORK/daemon.log"; }

# file_ends REASON: the file ends for that reason, which the daemon tells everyone.
file_ends() {
    comes "the end of the file" said "the file ends: .*$1"
    comes "an inactive recording" active_is false
    comes "a complaint" health_is 503
}

# goes_on: the recording has another file, by itself.
goes_on() {
    local before
    before=$(status ledger recorder delivered)
    comes "another file" active_is true
    comes "frames on the disk again" delivered_above "$before"
    comes "health" health_is 200
}
delivered_above() { [ "$(status ledger recorder delivered)" -gt "$1" ]; }

# ended CODE: the daemon ends with this exit code, and every account in its log adds up. Sets EXPECTED, DELIVERED, LOST
# and CAUSES of the recorder.
ended() {
    local code=0 consumer expected delivered lost
    wait "$DAEMON" || code=$?
    [ "$code" -eq "$1" ] || { cat "$WORK/daemon.log" >&2; fail "the daemon ended with $code, not $1"; }
    sed -n 's/.* \([a-z.]*\): \([0-9]*\) frames expected, \([0-9]*\) delivered, \([0-9]*\) lost.*/\1 \2 \3 \4/p' \
        "$WORK/daemon.log" >"$WORK/accounts"
    [ "$(wc -l <"$WORK/accounts")" -ge 2 ] || { cat "$WORK/daemon.log" >&2; fail "it told no accounts"; }
    while read -r consumer expected delivered lost; do
        [ "$expected" -eq $((delivered + lost)) ] || fail "$consumer: $expected expected, $delivered delivered, $lost lost"
        [ "$consumer" != recorder ] || { EXPECTED=$expected DELIVERED=$delivered LOST=$lost; }
    done <"$WORK/accounts"
    CAUSES=$(sed -n 's/.* recorder: .* lost (\(.*\))$/\1/p' "$WORK/daemon.log")
    if grep -q panicked "$WORK/daemon.log"; then cat "$WORK/daemon.log" >&2; fail "a thread panicked"; fi
}

# lost_to CAUSE: how many the recorder's account gives it.
lost_to() { { grep -Eo "[0-9]+ $1" <<<"$CAUSES" || echo 0; } | cut -d ' ' -f 1; }

# files_are_well: each recording verifies, code by code. Sets FILES and, from their sidecars, FILE_DELIVERED, FILE_LOST,
# FILE_RING_FULL and BETWEEN (frames in no file).
files_are_well() {
    "$BIOSIGD" verify --counter "$RECORDINGS"/*.bdf >"$WORK/verify" \
        || { cat "$WORK/verify" "$WORK/daemon.log" >&2; fail "a file is damaged"; }
    read -r FILES FILE_DELIVERED FILE_LOST FILE_RING_FULL BETWEEN < <(python3 "$ROOT/tests/stall/account.py" "$RECORDINGS")
}

# delivered_is_in_files: what the daemon says it has delivered stands in the files, and no more.
delivered_is_in_files() {
    files_are_well
    [ "$FILE_DELIVERED" -eq "$DELIVERED" ] || fail "the files have $FILE_DELIVERED frames, the daemon says $DELIVERED"
}
