#!/usr/bin/env bash
# The Debian packages of what cargo has built: target/deb/*.deb, and symbols of each in target/deb/symbols.
#
#   DEB_PROFILE         release (default) or dev: whose programs are packed. Tests pack what they have anyway.
#   DEB_VERSION_SUFFIX  appended to the version, so that a test has an older and a newer package of one build.
#   DEB_ARCH            arm64: the programs that cargo built for it; default: this machine's architecture.
#   DEB_OUT             where the packages go instead of target/deb, or target/deb-arm64. Made anew each time.
#
# The packages of Debian 12's glibc (2.36) run on 13 as well: build on 12, one set is enough.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${DEB_PROFILE:-release}
own=$(dpkg --print-architecture)
arch=${DEB_ARCH:-$own}
out=${DEB_OUT:-target/deb}
[[ $arch = "$own" ]] || out=${DEB_OUT:-target/deb-$arch}
case $profile in
    release) programs=target/release symbols=auto ;;
    # Line tables of a test build help nobody, and packing them takes longer than all the rest.
    dev) programs=target/debug symbols=noautodbgsym; export DEB_COMPRESSION="-Zgzip -z1" ;;
    *) echo "packaging/deb.sh: DEB_PROFILE is release or dev, not $profile" >&2; exit 2 ;;
esac
# Completions are printed by the programs that run here.
speaking=$programs
cross=()
case $arch in
    "$own") ;;
    arm64)
        programs=${programs/target/target/aarch64-unknown-linux-gnu}
        # Nothing is compiled by this: the build dependencies of the target are not needed.
        cross=(--host-arch arm64 -d)
        ;;
    *) echo "packaging/deb.sh: DEB_ARCH is $own or arm64, not $arch" >&2; exit 2 ;;
esac
for program in muster-agent muster-aggregator musterctl; do
    [[ -x $programs/$program && -x $speaking/$program ]] || { echo "packaging/deb.sh: build $programs/$program first" >&2; exit 2; }
done

upstream=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
version=$upstream-1${DEB_VERSION_SUFFIX:-}
# The same commit gives the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
rm -rf "$out"
stage=$out/stage/muster-$upstream
mkdir -p "$stage"/{bin,completions,etc,sysctl,third-party} "$out/symbols"

cp -a packaging/debian packaging/man packaging/apparmor CHANGELOG.md "$stage/"
for daemon in agent aggregator; do
    cp -a systemd/muster-$daemon.{service,path,sysusers,tmpfiles} "$stage/debian/"
    cp -a "packaging/etc/muster/$daemon.toml" "packaging/etc/muster/$daemon.d" "$stage/etc/"
done
cp systemd/muster-aggregator.sysctl "$stage/sysctl/50-muster-aggregator.conf"
for program in muster-agent muster-aggregator musterctl; do
    cp "$programs/$program" "$stage/bin/"
    "$speaking/$program" completions bash >"$stage/completions/$program.bash"
    "$speaking/$program" completions zsh >"$stage/completions/_$program"
    "$speaking/$program" completions fish >"$stage/completions/$program.fish"
    mkdir "$stage/third-party/$program"
    cargo tree --locked --offline -p "$program" -e normal,no-proc-macro --prefix none -f '{p}, {l}' |
        sed 's/ ([^)]*)//; s/ (\*)$//' | grep -v '^muster' | sort -u >"$stage/third-party/$program/third-party"
done
cat >"$stage/debian/changelog" <<EOF
muster ($version) unstable; urgency=medium

  * Changes of this version stand in changelog.gz.

 -- Muster developers <muster@packages.invalid>  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
EOF

log=$out/build.log
if ! (cd "$stage" && DEB_BUILD_OPTIONS="$symbols nocheck" dpkg-buildpackage -b -us -uc "${cross[@]}") >"$log" 2>&1; then
    tail -40 "$log" >&2
    exit 1
fi
find "$out/stage" -maxdepth 1 -name '*-dbgsym_*.deb' -exec mv -t "$out/symbols" {} +
find "$out/stage" -maxdepth 1 \( -name '*.deb' -o -name '*.changes' -o -name '*.buildinfo' \) -exec mv -t "$out" {} +
rm -rf "$out/stage"
for package in "$out"/*.deb; do
    size() { dpkg-deb --fsys-tarfile "$package" | tar -tv | awk '$NF ~ /usr\/bin\/./ { printf "%.1f MiB", $3 / 1048576 }'; }
    printf '%s  %.1f MiB, program %s\n' "$package" "$(stat -c %s "$package" | awk '{ print $1 / 1048576 }')" "$(size)"
done
