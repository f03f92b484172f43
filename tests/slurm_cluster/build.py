"""Prepare a cluster's directory: the nodes' /etc, disks, users and fake devices."""

import os
import shutil
import subprocess
from pathlib import Path

from slurm_cluster import cgroups, config, rules
from slurm_cluster.errors import ClusterError
from slurm_cluster.layout import Layout
from slurm_cluster.options import LOGIN, NEIGHBOUR, SUBMITTER, Options
from slurm_cluster.processes import Handle
from slurm_cluster.state import State

NULL_DEVICE = os.makedev(1, 3)


def prepare(layout: Layout, options: Options, network: str, owner: Handle | None) -> State:
    """Write everything that booting needs; only the shared storage is kept from an earlier cluster."""
    layout.root.mkdir(parents=True, exist_ok=True)
    if any(layout.root.iterdir()) and not layout.marker.exists():
        raise ClusterError(f"{layout.root} holds something else: choose another $SLURM_CLUSTER_DIR")
    layout.marker.touch()
    for old in (layout.etc, layout.log, layout.devices, layout.controller, layout.database, layout.root / "nodes"):
        shutil.rmtree(old, ignore_errors=True)
    for new in (layout.log, layout.devices, layout.controller, layout.shared):
        new.mkdir(parents=True, exist_ok=True)
    layout.shared.chmod(0o1777)
    for name in [LOGIN, *options.node_names]:
        _disk(layout.node(name))
    for number in range(options.gpus):
        os.mknod(layout.devices / f"nvidia{number}", 0o20666, NULL_DEVICE)
    table = config.addresses(options, network)
    _copy_etc(layout)
    users = _users(layout)
    _configuration(layout, options, network, table)
    state = State(options=options, network=network, addresses=table, users=users, owner=owner)
    state.save(layout)
    return state


def _copy_etc(layout: Layout) -> None:
    """Give the nodes an /etc of their own.

    Single files bound over the host's would be lost whenever a program on the host replaces the file
    below, as useradd does with /etc/passwd.
    """
    subprocess.run(["cp", "-a", "/etc", layout.etc], check=False, stderr=subprocess.DEVNULL)  # files may come and go
    for secret in ("shadow", "shadow-", "gshadow", "gshadow-"):
        (layout.etc / secret).unlink(missing_ok=True)
    shutil.rmtree(layout.slurm, ignore_errors=True)
    layout.slurm.mkdir()


def _users(layout: Layout) -> dict[str, int]:
    """Add the cluster's users to the nodes' /etc, with homes on the shared storage."""
    passwd, group = layout.etc / "passwd", layout.etc / "group"
    names = [SUBMITTER, NEIGHBOUR]
    texts = passwd.read_text(), group.read_text()
    users = dict(zip(names, config.choose_ids(*texts, len(names)), strict=True))
    for file, text in zip((passwd, group), config.with_users(*texts, users, layout), strict=True):
        file.write_text(text)
    for user, uid in users.items():
        _home(layout.home(user), uid)
    return users


def remove(layout: Layout) -> None:
    """Remove a cluster's directory, and never another one."""
    if layout.marker.exists():
        shutil.rmtree(layout.root, ignore_errors=True)


def _configuration(layout: Layout, options: Options, network: str, table: dict[str, str]) -> None:
    hierarchies = cgroups.hierarchies()
    files = {
        layout.slurm / "slurm.conf": config.slurm_conf(options, layout, network, cgroups=bool(hierarchies)),
        layout.slurm / "gres.conf": config.gres_conf(options, layout),
        layout.slurm / "cgroup.conf": config.cgroup_conf(cgroups=bool(hierarchies)),
        layout.slurm / "plugstack.conf": "",
        layout.slurm / rules.FILE: rules.script(""),
        layout.etc / "resolv.conf": config.RESOLV_CONF,
        layout.etc / "hosts": "",
    }
    for name in table:
        files[layout.hosts(name)] = config.hosts(name, table, loopback=options.hosts_loopback)
    for path, text in files.items():
        path.unlink(missing_ok=True)  # it may be a symbolic link
        path.write_text(text)
        path.chmod(0o644)
    _secret(layout.slurm / "slurmdbd.conf", config.slurmdbd_conf(layout, table[LOGIN]).encode())
    _secret(layout.slurm / "munge.key", os.urandom(128))


def _secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(content)


def _disk(disk: Path) -> None:
    (disk / "spool").mkdir(parents=True)
    for name in ("tmp", "var-tmp"):
        (disk / name).mkdir()
        (disk / name).chmod(0o1777)


def _home(home: Path, uid: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    home.parent.chmod(0o755)
    os.chown(home, uid, uid)
    home.chmod(0o700)
