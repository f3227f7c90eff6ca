# For tests that need a program of a Debian package whose installation would start servers: the package is unpacked under target/
# instead. Sourced after shell.sh.

# need_unpacked PROGRAM PACKAGE...: PROGRAM is on the PATH, as installed or from its unpacked packages.
need_unpacked() {
    local program=$1 dir
    shift
    ! command -v "$program" >/dev/null || return 0
    dir=$TARGET/test-packages/$program
    if [ ! -e "$dir/complete" ]; then
        command -v apt-get >/dev/null || fail "missing; install $program first"
        rm -rf "$dir"
        mkdir -p "$dir"
        {
            cd "$dir"
            apt-get download -qq "$@" || { [ "$(id -u)" -eq 0 ] && apt-get update -qq && apt-get download -qq "$@"; }
            for package in *.deb; do dpkg-deb -x "$package" .; done
            rm -- *.deb
            cd - && touch "$dir/complete"
        } >"$WORK/apt.log" 2>&1 || { cat "$WORK/apt.log" >&2; fail "missing; install it first: sudo apt-get install $*"; }
    fi
    PATH=$dir/usr/bin:$dir/usr/sbin:$PATH
}

# need_cargo_tool NAME VERSION: a cargo subcommand, built once under target/.
need_cargo_tool() {
    PATH=$TARGET/test-tools/bin:$PATH
    if [ "$("$1" --version 2>/dev/null | tr -dc '0-9.')" != "$2" ]; then
        echo "   building $1 $2, once"
        cargo install --quiet --locked "$1" --version "$2" --root "$TARGET/test-tools" >"$WORK/cargo.log" 2>&1 \
            || { tail -n 20 "$WORK/cargo.log" >&2; fail "$1 cannot be built"; }
    fi
}
