#!/bin/sh
# What a node of this cluster really has, for `curator-slurm site init --probe`: it reads, changes nothing, and needs
# nothing but a POSIX shell. One fact a line: a name, a tab, a value; fields of a value are separated by bars.
# Arguments: addresses that are tried by HTTPS.

LC_ALL=C
export LC_ALL
PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin${PATH:+:$PATH}"
export PATH

say() { printf '%s\t%s\n' "$1" "$2"; }

has() { command -v "$1" >/dev/null 2>&1; }

# A command that cannot hang for long, where there is a `timeout`.
briefly() {
    if has timeout; then timeout "$@"; else shift && "$@"; fi
}

first_word_of() { [ -r "$1" ] && read -r word _ <"$1" && printf '%s' "$word"; }

cpus() {
    say slurm_cpus "${SLURM_CPUS_ON_NODE:-}"
    say cpus_visible "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
    say cpus_allowed "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)"
    group=$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)
    while [ -n "$group" ] && [ "$group" != / ]; do
        [ -r "/sys/fs/cgroup$group/cpu.max" ] && say cpu_quota "$(cat "/sys/fs/cgroup$group/cpu.max")"
        group=${group%/*}
    done
}

memory() {
    say memory_kb "$(sed -n 's/^MemTotal:[[:space:]]*\([0-9]*\).*/\1/p' /proc/meminfo)"
    say slurm_memory_mb "${SLURM_MEM_PER_NODE:-}"
}

gpus() {
    has nvidia-smi || return 0
    briefly 20 nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits 2>/dev/null |
        while IFS= read -r line; do
            case $line in *", "*) say gpu "${line%%, *}|${line##*, }" ;; esac
        done
}

speed_of() {
    speed=$(cat "/sys/class/net/$1/speed" 2>/dev/null)
    for rate in "/sys/class/net/$1/device/infiniband/"*/ports/1/rate; do
        [ -r "$rate" ] && speed=$(sed -n 's/^\([0-9]*\).*Gb.*/\1000/p' "$rate")
    done
    printf '%s' "$speed"
}

# Interfaces that are up, with their addresses: by ip, or by what every Python has.
addresses() {
    if has ip; then
        ip -o addr show up 2>/dev/null |
            while read -r _ name family address _; do
                case $family in inet | inet6) printf '%s %s\n' "${name%%@*}" "$address" ;; esac
            done
    elif has python3; then
        python3 -c '
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for _, name in socket.if_nameindex():
        try:
            found = fcntl.ioctl(s, 0x8915, struct.pack("256s", name.encode()[:15]))
        except OSError:
            continue
        print(name, socket.inet_ntoa(found[20:24]))
'
    fi
}

network() {
    addresses | while read -r name address; do
        say interface "$name|$address|$(speed_of "$name")|$(first_word_of "/sys/class/net/$name/type")"
    done
    while read -r name target _ _ _ _ _ mask _; do
        [ "$target" = 00000000 ] && [ "$mask" = 00000000 ] && say default_route "$name"
    done </proc/net/route 2>/dev/null
    while read -r target length _ _ gateway _ _ _ _ name; do
        case $target$length$gateway in
        *[!0]*) [ "$target$length" = 0000000000000000000000000000000000 ] && say default_route "$name" ;;
        esac
    done </proc/net/ipv6_route 2>/dev/null
    say own_address "$(getent hosts "$(uname -n)" 2>/dev/null | while read -r address _; do printf '%s ' "$address"; done)"
    say local_ports "$(tr '\t' ' ' </proc/sys/net/ipv4/ip_local_port_range 2>/dev/null)"
}

# The type of the file system at a mount point, as the last mount on it has it.
type_at() {
    found=
    while read -r _ place kind _; do
        [ "$place" = "$1" ] && found=$kind
    done </proc/mounts
    printf '%s' "$found"
}

disk() {
    [ -d "$1" ] || return 0
    line=$(briefly 10 df -Pk "$1" 2>/dev/null | sed -n '$p')
    [ -n "$line" ] || return 0
    # shellcheck disable=SC2086
    set -- "$1" $line
    kilobytes=$3 free=$5 place=$7
    writable=no
    if [ -w "$1" ]; then writable=yes; fi
    say disk "$1|$(type_at "$place")|$kilobytes|$free|$writable|$place"
}

disks() {
    for folder in /tmp "${TMPDIR:-}" "${SLURM_TMPDIR:-}" "${LOCAL_SCRATCH:-}" "${JOBSCRATCH:-}" /local /localscratch \
        /local_scratch /scratch/local /mnt/local "/mnt/bb/${USER:-}" /nvme /raid /var/tmp /dev/shm; do
        [ -n "$folder" ] && disk "$folder"
    done
    while read -r _ place kind _; do
        case $kind in
        lustre | gpfs | beegfs | weka* | nfs | nfs4 | ceph | panfs)
            say shared "$place|$kind"
            ;;
        esac
    done </proc/mounts
}

software() {
    for runtime in apptainer singularity enroot podman podman-hpc shifter ch-run; do
        has "$runtime" && say runtime "$runtime"
    done
    if has srun; then
        help=$(briefly 20 srun --help 2>/dev/null)
        case $help in *--container-image*) say runtime pyxis ;; esac
        case $help in *--environment=*) say runtime edf ;; esac
    fi
    say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
    say kernel "$(uname -sr)"
    shell="sh"
    if has bash; then shell="bash"; fi
    # As at a login, not as the shell that has submitted: the command module, proxies, Python.
    # shellcheck disable=SC2016
    briefly 30 env -i "HOME=${HOME:-/}" "USER=${USER:-}" "PATH=/usr/local/bin:/usr/bin:/bin" "$shell" -lc '
        command -v module >/dev/null 2>&1 && printf "\nprobed\tmodules\t%s\n" "${LMOD_VERSION:+Lmod $LMOD_VERSION}"
        for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
            eval "value=\${$name:-}"
            [ -n "$value" ] && printf "\nprobed\tproxy\t%s|%s\n" "$name" "$value"
        done
        for python in python3 python3.11 python3.12 python3.13; do
            version=$("$python" -c "import sys; print(sys.version.split()[0])" 2>/dev/null)
            [ -n "$version" ] && printf "\nprobed\tpython\t%s|%s\n" "$(command -v "$python")" "$version"
        done
        true' 2>/dev/null </dev/null | sed -n 's/^probed\t//p'
}

limits() {
    sed -n 's/^Max open files *\([^ ]*\) *\([^ ]*\).*/open_files\t\1|\2/p; s/^Max processes *\([^ ]*\) *\([^ ]*\).*/processes\t\1|\2/p
        s/^Max locked memory *\([^ ]*\) *\([^ ]*\).*/locked_memory\t\1|\2/p' /proc/self/limits
}

# An answer of any kind counts: what is looked for is whether one comes.
reached() {
    if has curl; then
        briefly 20 curl --silent --output /dev/null --max-time 8 "$@" 2>/dev/null
    elif has wget; then
        briefly 20 wget --quiet --tries=1 --timeout=8 --output-document=/dev/null "$@" 2>/dev/null
    else
        return 3
    fi
}

internet() {
    has curl || has wget || { say internet unknown && return; }
    for address in "$@"; do
        if (unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY && reached "$address"); then
            say internet "direct|$address"
        else
            say internet "none|$address"
        fi
        proxy=$(printf '%s' "$facts" | sed -n 's/^proxy\t[hH][tT][tT][pP][sS]_[a-zA-Z]*|//p' | sed -n 1p)
        if [ -n "$proxy" ] && https_proxy=$proxy reached "$address"; then say internet "proxy|$address"; fi
    done
}

say probe 1
say host "$(uname -n)"
say partition "${SLURM_JOB_PARTITION:-}"
say job "${SLURM_JOB_ID:-}"
say clock "$(date +%s)"
cpus
memory
gpus
network
disks
facts=$(software)
printf '%s\n' "$facts"
limits
internet "$@"
say end 1
