# For tests that need a whole Debian: a root file system made once by debootstrap, kept under target/, and copied for each use.
# Sourced after shell.sh; needs root.

# The suite of this machine where it is Debian, so that its tools fit; else the stable one.
debian_suite() {
    # shellcheck disable=SC1091 # of the machine it runs on
    (. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") 2>/dev/null || echo bookworm
}

# The mirror that this machine uses; empty for debootstrap's own.
debian_mirror() {
    awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null \
        || awk '$1 == "deb" && $2 ~ /^http/ { print $2; exit }' /etc/apt/sources.list 2>/dev/null || true
}

# debian_root NAME SUITE PACKAGES [ARCHITECTURE]: target/test-roots/NAME holds this suite with these packages. Sets DEBIAN_ROOT.
# For another architecture than this machine's, its programs must start here (need_arm64_programs).
debian_root() {
    local name=$1 suite=$2 packages=$3 architecture=${4:-$(dpkg --print-architecture)} mirror
    DEBIAN_ROOT=$TARGET/test-roots/$name
    [ "$(cat "$DEBIAN_ROOT/.complete" 2>/dev/null)" != "$packages" ] || return 0
    need debootstrap debootstrap
    echo "   making a Debian $suite ($architecture) of its own, once"
    rm -rf "$DEBIAN_ROOT"
    mkdir -p "$DEBIAN_ROOT"
    mirror=$(debian_mirror)
    debootstrap --arch="$architecture" --variant=minbase --include="$packages" "$suite" "$DEBIAN_ROOT" ${mirror:+"$mirror"} >"$WORK/debootstrap.log" 2>&1 \
        || { tail -n 20 "$WORK/debootstrap.log" >&2; rm -rf "$DEBIAN_ROOT"; fail "debootstrap failed"; }
    rm -rf "$DEBIAN_ROOT"/var/cache/apt/archives/*.deb "$DEBIAN_ROOT"/var/lib/apt/lists/*
    echo "$packages" >"$DEBIAN_ROOT/.complete"
}
