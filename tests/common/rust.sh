# For tests/run: the Rust toolchain and a linker, installed where that is possible. Debian 13 has a toolchain that is new
# enough; Debian 12 has not, and rustup is a choice that nobody else should make.

rust_version_min=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# Whether cargo and its parts are there and new enough.
rust_is_there() {
    local version
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || return 1
    version=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$rust_version_min" "$version" | sort -V | head -n1)" = "$rust_version_min" ]
}

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
rust_is_there || packages+=(cargo rustc rustfmt rust-clippy)
if [ "${#packages[@]}" -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing ${packages[*]}"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null; } >/dev/null
    else
        echo "missing: sudo apt-get install --no-install-recommends ${packages[*]}"
    fi
    if ! rust_is_there || ! command -v cc >/dev/null; then
        echo "tests/run: Rust $rust_version_min or later with rustfmt and clippy is needed, and a C linker: https://rustup.rs" >&2
        exit 69
    fi
fi
