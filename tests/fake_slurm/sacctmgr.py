"""sacctmgr: the tables of associations, QOS and users, whole."""

import sys

from fake_slurm import getopts
from fake_slurm.store import Store

ASSOC = "Cluster|Account|User|Partition|Share|MaxJobs|MaxSubmit|MaxWall|QOS|Def QOS|GrpTRESRunMins"
QOS = "Name|Priority|Preempt|Flags|MaxTRES|MaxWall|MaxTRESPU|MaxJobsPU|MaxSubmitPU|MinTRES"


def main(store: Store, arguments: list[str]) -> int:
    """Show one of them."""
    _, words = getopts.parse("sacctmgr", arguments)
    if not store.settings["accounting"]:
        print("You are not running a supported accounting_storage plugin", file=sys.stderr)
        return 1
    match words:
        case ["show", "assoc", *_]:
            print(store.recorded("assoc.txt") or f"{ASSOC}\nfake|lab|me||1||||normal||", end="")
        case ["show", "qos", *_]:
            print(store.recorded("qos.txt") or f"{QOS}\nnormal|0||||||||\n", end="")
        case ["show", "user", *_]:
            print(store.recorded("user.txt") or "User|Def Acct|Admin\nme|lab|None\n", end="")
        case _:
            print(f" Unknown option: {' '.join(words)}", file=sys.stderr)
            return 1
    return 0
