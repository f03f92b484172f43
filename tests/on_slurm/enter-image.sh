#!/bin/bash
# A site's own way into an image: enter-image.sh FOLDER SOURCE:TARGET... -- COMMAND...
# namespaces of one's own, an overlay in memory over the image, the mounts, chroot.
set -eu
image=$1
shift
mounts=()
while [[ $1 != -- ]]; do
    mounts+=("$1")
    shift
done
shift
export image
exec unshare --user --map-root-user --mount --propagation private bash -euc '
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/up /mnt/work /mnt/root
    mount -t overlay -o "lowerdir=$image,upperdir=/mnt/up,workdir=/mnt/work" overlay /mnt/root
    for folder in /proc /sys /dev; do mount --rbind "$folder" "/mnt/root$folder"; done
    for file in /etc/hosts /etc/resolv.conf; do mount --bind "$file" "/mnt/root$file"; done
    while [[ $1 != -- ]]; do
        mkdir -p "/mnt/root${1#*:}"
        mount --rbind "${1%%:*}" "/mnt/root${1#*:}"
        shift
    done
    shift
    unset -v image
    exec "$(command -v chroot || echo /usr/sbin/chroot)" /mnt/root "$@"
' enter-image "${mounts[@]}" -- "$@"
