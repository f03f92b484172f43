"""sinfo: partitions, all of them over all nodes, all idle."""

from fake_slurm import getopts
from fake_slurm.columns import fill
from fake_slurm.store import Store, node_list

DEFAULT = "%9P %5a %10l %.6D %6t %N"
HEADERS = {
    "P": "PARTITION", "R": "PARTITION", "a": "AVAIL", "l": "TIMELIMIT", "D": "NODES", "t": "STATE", "T": "STATE",
    "N": "NODELIST", "n": "HOSTNAMES", "c": "CPUS", "m": "MEMORY", "G": "GRES", "s": "JOB_SIZE", "f": "AVAIL_FEATURES",
    "F": "NODES(A/I/O/T)",
}  # fmt: skip


def main(store: Store, arguments: list[str]) -> int:
    """Print one line per partition."""
    options, _ = getopts.parse("sinfo", arguments)
    settings = store.settings
    form = options.get("format", DEFAULT)
    if "%f" in form and (recorded := store.recorded("groups.txt")):
        print(recorded, end="")
        return 0
    if "noheader" not in options:
        print(fill(form, HEADERS))
    for name in settings["partitions"]:
        if "partition" in options and name not in options["partition"].split(","):
            continue
        star = "*" if name == settings["default_partition"] else ""
        gres = f"gpu:{settings['gpus']}" if settings["gpus"] else "(null)"
        values = {
            "P": f"{name}{star}", "R": name, "a": "up", "l": settings["time_limit"], "t": "idle",
            "D": str(settings["nodes"]),
            "T": "idle", "N": node_list(settings["nodes"]), "n": "n1", "c": str(settings["cpus"]),
            "m": str(settings["memory_mb"]), "G": gres, "f": "(null)",
            "s": "1-infinite", "F": f"0/{settings['nodes']}/0/{settings['nodes']}",
        }  # fmt: skip
        print(fill(form, values))
    return 0
