#!/usr/bin/env bash
# Installs what a target needs on Debian, and nothing when it is there already.
#   build  a C compiler and make        test   + the real programs the tests talk to, and what boots hosts
#   check  + cargo-deny                 bench  + rsyslog and node_exporter
#   fuzz   + a C++ compiler and cargo-fuzz
#   deb    + debhelper, lintian and what else builds and judges packages
#   arm64  + the cross-compiler and Rust's library for it (rustup)
set -euo pipefail

want=${1:?usage: tests/setup.sh build|test|check|bench|fuzz|deb|arm64}
build=(gcc libc6-dev make)
debian=(debhelper dh-apparmor dpkg-dev lintian apparmor)
systems=(dnsmasq-base prometheus prometheus-node-exporter rsyslog sqlite3 systemd systemd-journal-remote procps)
fleet=(debootstrap e2fsprogs iproute2 nftables systemd-container util-linux)

case $want in
    build | check) packages=("${build[@]}") ;;
    fuzz) packages=("${build[@]}" g++) ;;
    deb) packages=("${build[@]}" "${debian[@]}") ;;
    arm64) packages=("${build[@]}" "${debian[@]}" gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
    test) packages=("${build[@]}" "${systems[@]}" "${debian[@]}" "${fleet[@]}") ;;
    bench) packages=("${build[@]}" "${systems[@]}") ;;
    *) echo "tests/setup.sh: no such set: $want" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done

if ((${#missing[@]})); then
    if ((EUID != 0)); then
        echo "These Debian packages are missing: ${missing[*]}" >&2
        echo "Install them, or run this as root." >&2
        exit 77
    fi
    echo "Installing: ${missing[*]}"
    # The tests start their own instances: no service of these packages shall start on this host.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${missing[@]}" >/dev/null
fi

# A tool of one target: its crate and version. Built once, into target/tools.
tool() {
    command -v "$1" >/dev/null && return
    echo "Installing $1 (once, into target/tools)"
    cargo install --quiet --locked --root "$(dirname "$0")/../target/tools" "$1" --version "$2"
}

case $want in
    check) tool cargo-deny 0.20.2 ;;
    fuzz) tool cargo-fuzz 0.13.2 ;;
    arm64) rustup target add aarch64-unknown-linux-gnu ;;
esac
