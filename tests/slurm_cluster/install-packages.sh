#!/bin/sh
# Installs what the tests need from Debian: the real Slurm, its database, Lmod, shellcheck, strace, zstd, and Chromium.
# Services are not started: the test cluster starts daemons of its own. Does nothing when all is there.
set -eu

packages="slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins munge mariadb-server \
lmod shellcheck strace zstd chromium-headless-shell iproute2 util-linux procps"

missing=
for package in $packages "$@"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "Not root: cannot install$missing; tests on a real Slurm will be skipped." >&2
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: install the equivalents of$missing yourself." >&2
    exit 0
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
echo "Installing from Debian:$missing"
apt-get -qq update
# shellcheck disable=SC2086 # a list of words
apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends $missing >/dev/null
