# shellcheck shell=bash
# What the scripts beside this file share: finding out what this machine lacks, and installing it with apt-get.
#
# A script says `want …` for each thing it needs and then `install_wanted` once. Nothing is installed, and nobody is
# asked for a password, where all of it is there. Not here: what each script needs; that stands in the script.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root" || exit
# shellcheck disable=SC2034 # for the scripts that source this file
target_dir=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
# The oldest Rust that builds us stands in one place only.
msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
wanted=()
rust_wanted=no

# Each argument is a line, and none of them goes to standard output.
say() { printf '%s\n' "$@" >&2; }
die() {
    say "$@"
    exit 1
}

# at_least VERSION MINIMUM
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | sed -n 1p) == "$2" ]]; }

# newest_package ARCHITECTURE: what tools/package made last, or nothing
newest_package() {
    find "$target_dir/debian" -name "tunerd_*_$1.deb" -printf '%T@ %p\n' 2>/dev/null | sort -n | sed -n '$s/^[^ ]* //p'
}

# build_release TRIPLE: sets binary. The same source makes the same bytes in any directory, so no path of this machine is in
# it; and it stays as small as we promise.
build_release() {
    local remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=crates" bytes bytes_max=$((8 * 1024 * 1024))
    cargo build --release --locked --target "$1" --config "target.'cfg(all())'.rustflags = ['$remap']"
    binary=$target_dir/$1/release/tunerd
    bytes=$(stat -c %s "$binary")
    ((bytes <= bytes_max)) || die "$binary has $bytes bytes; we promise at most $bytes_max."
    say "Built $binary ($bytes bytes)."
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "There is no sudo here. Run this as root, then start me again:" "  $*"
    fi
}

# ---- What is there --------------------------------------------------------------------------------------------

# want_command COMMAND PACKAGE…
want_command() {
    command -v "$1" >/dev/null || wanted+=("${@:2}")
}

# want_file FILE PACKAGE…
want_file() {
    [[ -e $1 ]] || wanted+=("${@:2}")
}

# For the bundled SQLite and for TLS.
want_c_compiler() {
    cc -x c -fsyntax-only - <<<'#include <stdlib.h>' 2>/dev/null || wanted+=(gcc libc6-dev)
}

want_rust() {
    # Cargo downloads crates over HTTPS.
    want_file /etc/ssl/certs/ca-certificates.crt ca-certificates
    find_rust || rust_wanted=yes
}

# Puts the first cargo and rustc that are new enough in front of PATH.
find_rust() {
    local directory version
    # "" is PATH as it is; the last ones are Ubuntu's numbered packages.
    for directory in "" "${HOME:-/nonexistent}/.cargo/bin/" $(printf '%s\n' /usr/lib/rust-1.*/bin/ | sort -rV); do
        version=$("${directory}rustc" --version 2>/dev/null) || continue
        version=${version#rustc }
        at_least "${version%% *}" "$msrv" || continue
        "${directory}cargo" --version >/dev/null 2>&1 || continue
        [[ -z $directory ]] || export PATH="${directory%/}:$PATH"
        return 0
    done
    return 1
}

# want_rust_component rustfmt|clippy: for the Rust that find_rust found
want_rust_component() {
    local compiler suffix
    "cargo-${1/rustfmt/fmt}" --version >/dev/null 2>&1 && return
    if command -v rustup >/dev/null && rustup component add "$1" >&2; then
        return
    fi
    compiler=$(dpkg -S "$(realpath -- "$(command -v rustc)")" 2>/dev/null) || die "Please install $1 for $(rustc --version)."
    suffix=${compiler%%:*}
    suffix=${suffix#rustc}
    if [[ $1 == rustfmt ]]; then
        wanted+=("rustfmt$suffix")
    else
        wanted+=("rust$suffix-clippy")
    fi
}

# ---- Putting it there -------------------------------------------------------------------------------------------

install_wanted() {
    if [[ $rust_wanted == yes ]] && update_rustup; then
        rust_wanted=no
    fi
    ((${#wanted[@]})) || [[ $rust_wanted == yes ]] || return 0

    local missing=("${wanted[@]}")
    [[ $rust_wanted == no ]] || missing+=("Rust $msrv or newer")
    say "Not on this machine yet: $(printf '%s, ' "${missing[@]}" | sed 's/, $//')."
    command -v apt-get >/dev/null || die "I can only install with apt-get. Please install that yourself, then start me again."
    if ((EUID == 0)); then
        say "Installing with apt-get."
    else
        say "Installing with apt-get; sudo may ask for your password, for this and nothing else."
    fi
    # A foreign source that is out of reach is no reason to stop: the installation says whether it mattered.
    as_root apt-get -q update </dev/null >&2 || say "apt-get update had trouble; trying with what it has."

    local rust=()
    if [[ $rust_wanted == yes ]]; then
        read -ra rust <<<"$(rust_packages)"
        ((${#rust[@]})) || die "apt-get has no Rust $msrv or newer. Get it from https://rustup.rs, then start me again."
    fi
    install_packages "${wanted[@]}" "${rust[@]}"
    [[ $rust_wanted == no ]] || find_rust || update_rustup || die "Rust was installed, but is not found."
    wanted=()
    rust_wanted=no
}

# install_packages PACKAGE…
install_packages() {
    say "> apt-get install $*"
    # Never at the cost of what is there: Debian's newer Rust would otherwise push an older one out.
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-remove --no-install-recommends install "$@" </dev/null >&2 ||
        die "apt-get could not install that; it says why above. (Rust from https://rustup.rs works as well.)"
}

# The first of the distribution's Rust packages that is new enough: the plain ones, those that Debian keeps current for
# its browsers, Ubuntu's numbered ones (the newest first), and rustup.
rust_packages() {
    local numbered suffix
    numbered=$(apt-cache search --names-only '^cargo-1\.[0-9]+$' | sed 's/^cargo\(-[0-9.]*\) .*/\1/' | sort -rV)
    for suffix in "" -web $numbered; do
        if at_least "$(candidate "rustc$suffix")" "$msrv" && at_least "$(candidate "cargo$suffix")" "$msrv"; then
            echo "rustc$suffix cargo$suffix"
            return
        fi
    done
    [[ -z $(candidate rustup) ]] || echo rustup
}

# candidate PACKAGE: the version that apt would install, or nothing
candidate() {
    LC_ALL=C apt-cache policy "$1" | sed -n 's/^ *Candidate: *//p' | sed 's/^(none)$//'
}

# With rustup on the machine nothing needs root: the toolchain goes to the user's home.
update_rustup() {
    PATH="$PATH:${HOME:-/nonexistent}/.cargo/bin" command -v rustup >/dev/null || return 1
    say "Installing Rust with rustup."
    PATH="$PATH:${HOME:-/nonexistent}/.cargo/bin" rustup toolchain install stable --profile minimal >&2 || return 1
    export RUSTUP_TOOLCHAIN=stable
    find_rust
}
