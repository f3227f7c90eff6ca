# For tests of the build for the Pi's architecture on another machine: Debian's cross compiler, and user-mode emulation for what
# it makes. Sourced after shell.sh; needs root, once.

ARM64=aarch64-unknown-linux-gnu

# need_arm64: the toolchain is there, and cargo uses it. Sets ARM64_CARGO.
need_arm64() {
    local suffix=-web
    if ! dpkg -s libc6:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static >/dev/null 2>&1 || ! find_arm64_rust; then
        echo "   installing the cross compiler and the emulator"
        {
            dpkg --add-architecture arm64 && apt-get update -qq
            # Debian 12's own Rust is too old, so it has a second one; Debian 13's is new enough.
            [ -n "$(apt-cache policy rustc-web | sed -n 's/ *Candidate: [^(]//p')" ] || suffix=
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "rustc$suffix" "cargo$suffix" \
                "libstd-rust$suffix-dev:arm64" gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static </dev/null
        } >"$WORK/apt.log" 2>&1 || { tail -n 20 "$WORK/apt.log" >&2; fail "the cross compiler cannot be installed"; }
        find_arm64_rust || fail "/usr/bin/rustc has no standard library for $ARM64"
    fi
    ARM64_CARGO=/usr/bin/cargo
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO=$ARM64_CARGO
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    # Without -L: the libraries of the cross compiler beside those of libc6:arm64 hang in the first pthread_create.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
    # Emulation is slow enough: unoptimised code would not keep up with a converter.
    export CARGO_PROFILE_DEV_OPT_LEVEL=1
    # Two compilers keep their outputs apart.
    export CARGO_TARGET_DIR=$TARGET/arm64
}

find_arm64_rust() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/$ARM64/lib" ]
}

# need_arm64_package: the Debian package of the release build. Sets ARM64_DEB, which names another one where the caller has it.
# Needs packages.sh.
need_arm64_package() {
    [ -z "${ARM64_DEB:-}" ] || return 0
    need_cargo_tool cargo-deb 3.8.0
    need_arm64
    ARM64_DEB=$TARGET/arm64/biosigd_arm64.deb
    (cd "$ROOT" && "$ARM64_CARGO" build --release --locked --quiet --target "$ARM64" 2>"$WORK/build.log") \
        || { tail -n 40 "$WORK/build.log" >&2; fail "no release build for arm64"; }
    rm -f "$ARM64_DEB"
    (cd "$ROOT" && cargo-deb deb --quiet --no-build --target "$ARM64" --output "$ARM64_DEB") 2>&1 | grep -v "^$ARM64_DEB" || true
    [ -s "$ARM64_DEB" ] || fail "cargo-deb makes no arm64 package"
}

# need_arm64_programs: programs for the other architecture start like any other, until the script ends (binfmt_misc of the kernel).
need_arm64_programs() {
    local dir=/proc/sys/fs/binfmt_misc
    [ "$(uname -m)" != aarch64 ] || return 0
    need qemu-aarch64-static qemu-user-static
    [ -e $dir/register ] || mount -t binfmt_misc binfmt_misc $dir || fail "the kernel does not let other programs be registered"
    # Under a name of its own, so that a script which ends first does not take it from another.
    # F: the emulator is opened now, so that it is there in other roots too.
    printf '%s' ":biosigd-test-$$"':M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' >$dir/register
    BINFMT=$dir/biosigd-test-$$
    trap 'echo -1 >"$BINFMT"; clean_up' EXIT
}
