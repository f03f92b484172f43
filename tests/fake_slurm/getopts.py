"""Command lines as the real commands read them: an option that they do not know is an error."""

import sys
import tomllib
from pathlib import Path

# name, then `=` if it takes a value and `=?` if it may; a one-letter name before a bar.
_ALLOCATION = """
    A|account= acctg-freq= bb= bbf= b|begin= c|cpus-per-task= comment= container= cpu-freq= cpus-per-gpu=
    d|dependency= deadline= delay-boot= D|chdir= e|error= export= G|gpus= gid= gpu-bind= gpu-freq=
    gpus-per-node= gpus-per-socket= gpus-per-task= gres= gres-flags= H|hold i|input= J|job-name= k|no-kill=?
    L|licenses= M|clusters= m|distribution= mail-type= mail-user= mcs-label= mem= mem-bind= mem-per-cpu=
    mem-per-gpu= mincpus= n|ntasks= nice=? ntasks-per-core= ntasks-per-gpu= ntasks-per-node=
    ntasks-per-socket= N|nodes= o|output= O|overcommit power= priority= profile= propagate=? p|partition=
    q|qos= Q|quiet reboot reservation= s|oversubscribe S|core-spec= signal= spread-job switches= thread-spec=
    t|time= time-min= uid= use-min-nodes v|verbose V|version wckey= cluster-constraint= contiguous
    C|constraint= F|nodefile= tmp= w|nodelist= x|exclude= exclusive=? sockets-per-node= cores-per-socket=
    threads-per-core= B|extra-node-info= hint= open-mode= help usage
"""

_KNOWN = tomllib.loads(Path(__file__).parents[1].joinpath("container_options.toml").read_text())["pyxis"]
_PYXIS = " ".join([name[2:] for name in _KNOWN["flags"]] + [f"{name[2:]}=" for name in _KNOWN["values"]])
"""Of the plug-in, which this Slurm has; there are no containers."""

OPTIONS = {
    "sbatch": _ALLOCATION
    + "a|array= export-file= get-user-env=? ignore-pbs no-requeue requeue parsable test-only W|wait wrap=",
    "srun": _ALLOCATION
    + """
    accel-bind= bcast=? bcast-exclude= compress=? cpu-bind= E|preserve-env epilog= exact I|immediate=? interactive
    jobid= K|kill-on-bad-exit=? l|label mpi= multi-prog M|clusters= no-allocate overlap prolog= pty quit-on-interrupt
    r|relative= resv-ports=? send-libs=? slurmd-debug= task-epilog= task-prolog= test-only T|threads= u|unbuffered
    W|wait= X|disable-status whole Z|no-allocate het-group=
    """ + _PYXIS,
    "squeue": """
    A|account= a|all array-unique federation h|noheader hide i|iterate= j|jobs= json local l|long L|licenses=
    M|clusters= me n|name= noconvert o|format= O|Format= p|partition= q|qos= R|reservation= r|array sibling
    s|steps= S|sort= start t|states= u|user= v|verbose V|version w|nodelist= yaml help usage
    """,
    "scancel": """
    A|account= b|batch f|full H|hurry i|interactive M|clusters= me n|name= p|partition= Q|quiet q|qos=
    R|reservation= sibling= s|signal= t|state= u|user= V|version v|verbose w|nodelist= wckey= help usage
    """,
    "sinfo": """
    a|all d|dead e|exact federation h|noheader hide i|iterate= json local l|long M|clusters= n|nodes= noconvert
    N|Node o|format= O|Format= p|partition= r|responding R|list-reasons s|summarize S|sort= t|states=
    T|reservation v|verbose V|version yaml help usage
    """,
    "sacct": """
    A|accounts= a|allusers X|allocations b|brief C|cluster= c|completion D|duplicates delimiter= E|endtime=
    e|helpformat f|file= o|format= g|gid= h|help j|jobs= L|allclusters l|long N|nodelist= name= n|noheader
    noconvert P|parsable2 p|parsable q|qos= r|partition= s|state= S|starttime= T|truncate u|user= units=
    V|version v|verbose W|wckeys= x|associations=
    """,
    "sacctmgr": "h|help i|immediate n|noheader p|parsable P|parsable2 Q|quiet r|readonly s|associations "
    "v|verbose V|version",
    "scontrol": "a|all d|details F|future h|help hide local M|clusters= o|oneliner Q|quiet sibling u|uid= V|version "
    "v|verbose",
}  # fmt: skip


class UsageError(Exception):
    """A command line that the real command refuses."""


def parse(command: str, arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return long options with values (flags have an empty one) and the words after them.

    As with the real ones, options end at the first other word for sbatch and srun.
    """
    short, long = _table(OPTIONS[command])
    stop_early = command in ("sbatch", "srun")
    found: dict[str, str] = {}
    words: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            return found, words + left
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = _complete(command, name, long)
            if long[name] == "=" and not equals:
                if not left:
                    raise UsageError(f"{command}: option '--{name}' requires an argument")
                value = left.pop(0)
            if equals and not long[name]:
                raise UsageError(f"{command}: option '--{name}' doesn't allow an argument")
            found[name] = value
        elif argument.startswith("-") and argument != "-":
            _short_options(command, argument[1:], left, short, long, found)
        elif stop_early:
            return found, [argument, *left]
        else:
            words.append(argument)
    return found, words


def _table(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return short to long names, and the kind of each long one: "", "=" or "=?"."""
    short, long = {}, {}
    for word in text.split():
        name = word.rstrip("=?")
        letter, bar, rest = name.partition("|")
        name = rest if bar else name
        if bar:
            short[letter] = name
        long[name] = word[word.index("=") :] if "=" in word else ""
    return short, long


def _complete(command: str, name: str, long: dict[str, str]) -> str:
    """Accept a unique beginning, as getopt_long does."""
    matches = [name] if name in long else [known for known in long if known.startswith(name)]
    if len(matches) != 1 or not name:
        raise UsageError(f"{command}: unrecognized option '--{name}'")
    return matches[0]


def _short_options(
    command: str, letters: str, left: list[str], short: dict[str, str], long: dict[str, str], found: dict[str, str]
) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter not in short:
            raise UsageError(f"{command}: invalid option -- '{letter}'")
        name = short[letter]
        if long[name] == "=":
            if not letters and not left:
                raise UsageError(f"{command}: option requires an argument -- '{letter}'")
            found[name] = letters or left.pop(0)
            return
        if long[name] == "=?":
            found[name] = letters
            return
        found[name] = ""


def refuse(command: str, error: UsageError) -> int:
    """Print what the real commands print for a wrong command line."""
    print(error, file=sys.stderr)
    print(f'Try "{command} --help" for more information', file=sys.stderr)
    return 1
