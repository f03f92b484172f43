"""Hostile specs at random, and what must be true of each: `make fuzz`, and a few hundred in the suite.

    python tests/fuzz_specs.py --count 5000              a new seed, which is printed
    python tests/fuzz_specs.py --count 5000 --seed 17    the same specs again

A spec is refused with an error for end users, or it becomes a script that bash can read and in which no value runs.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))

from script_lab import ScriptLab

from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.plan.script import render
from curator_slurm.launcher.spec.keys import section_at, settings
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.sbatch_options import _NAMES as SBATCH_OPTIONS

SECONDS = 5.0
MEBIBYTES = 500
CANARY = "canary"
"""The file that a value makes where it runs."""

RUNS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"'; touch {CANARY}; '",
    f'"; touch {CANARY}; "',
    f"a\n touch {CANARY}",
]
TEXTS = [
    *RUNS,
    *("", " ", "a", "x" * 5000, "a b", "it's", 'say "x"', "back\\slash", "~", "$HOME", "${HOME}", "$((1+1))", "*"),
    *("-rf", "--export=ALL", "a\nb", "a\r\nb", "a\tb", "\x1b[31m", "é", "名", "\u202e", "²", "٣", "\x00", "\ud800"),
    *("${input.files}", "${shard.files}", "${output_dir}", "${env:HOME}", "$${x}", "${", "${}", "${nope}", "${" * 500),
    *("10G", "10G\n", "1:00:00", "1-00", "99999999999", "9" * 5000, "-1", "1e9", "0x10", "null", "a100:2", "pkg.mod:x"),
    *("/tmp/none", "/nope/*.jsonl", "../..", "s3://bucket/key", "file:///etc/passwd", "/dev/null", "//", ".", "\ufeff"),
]
BREAKS = [b"\x00", b"\xff", b"\t", b"&a ", b"*a ", b"<<: ", b"!!python/name:os.system ", b"- "]
NUMBERS = [0, 1, 2, -1, 3.5, 10**6, 2**31, 2**63, 2**64, 10**30, 1e308, float("inf"), float("nan"), True, False]


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any value that YAML can say."""
    kind = rng.random()
    if kind < 0.55 or depth > 4:
        return rng.choice(TEXTS)
    if kind < 0.8:
        return rng.choice(NUMBERS)
    if kind < 0.85:
        return None
    if kind < 0.93:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(TEXTS)[:50]: value(rng, depth + 1) for _ in range(rng.randint(0, 4))}


def setting(rng: random.Random, path: tuple[str, ...]) -> Any:
    """A value for one setting: often of the right kind, often not."""
    if rng.random() < 0.2:
        return value(rng)
    if path == ("resources", "sbatch"):
        return {rng.choice(sorted(SBATCH_OPTIONS)): value(rng, 4) for _ in range(rng.randint(0, 3))}
    if path == ("environment", "setup"):  # commands: whatever they say is meant to run
        return rng.choice([["true"], ["export X=1", "ulimit -n"], ["if"], ["exit 1"], [": 'it''s'"], "true"])
    if path[-1] == "env":
        return {rng.choice(["A", "B_2", "PATH_", *TEXTS[:8]]): value(rng, 4) for _ in range(rng.randint(0, 3))}
    section = section_at(path)
    if section is not None:
        known = list(settings(section))
        return {key: setting(rng, (*path, key)) for key in rng.sample(known, rng.randint(0, min(2, len(known))))}
    kinds = str(settings(section_at(path[:-1]) or Spec).get(path[-1], ""))
    if "int" in kinds or "float" in kinds:
        return rng.choice(NUMBERS)
    if "list" in kinds:
        return [rng.choice(TEXTS) for _ in range(rng.randint(0, 3))]
    return rng.choice(TEXTS)


def spec_text(rng: random.Random) -> bytes:
    """The text of one spec."""
    data: dict[Any, Any] = {"name": "demo", "pipeline": {"command": rng.choice(["true", ["true"], *RUNS])}}
    top = [key for key in settings(Spec) if key not in ("name", "pipeline")]
    for key in rng.sample(top, rng.choice([1, 1, 1, 2, 4])):  # one error is enough to be refused
        data[key] = setting(rng, (key,))
    if rng.random() < 0.15:
        data["pipeline"] = setting(rng, ("pipeline",))
    if rng.random() < 0.1:
        data[rng.choice(TEXTS)[:100]] = value(rng)
    try:
        text = yaml.dump(data, allow_unicode=rng.random() < 0.5, default_flow_style=rng.random() < 0.2).encode()
    except (UnicodeEncodeError, yaml.YAMLError):
        text = repr(data).encode(errors="surrogatepass")
    return mutated(rng, text) if rng.random() < 0.25 else text


def mutated(rng: random.Random, text: bytes) -> bytes:
    """The text, broken somewhere as files break."""
    at, end = sorted(rng.randint(0, len(text)) for _ in range(2))
    return rng.choice(
        [
            text[:at] + text[end:],
            text[:end] + text[at:],
            text[:at] + rng.choice(BREAKS) + text[at:],
            text[:at] + b"[" * rng.choice([5, 200, 5000]) + text[at:],
            text + b"".join(b"k%d: 1\n" % number for number in range(rng.choice([3, 3000]))),
            text + b"x: &a [b, b]\ny: &b [*a, *a]\nz: [*b, *b, *b]\n",
            text + b"resources: &r {nodes: 1, <<: *r}\n",
        ]
    )


def problem(text: bytes, folder: Path) -> str | None:
    """What is wrong with how a spec was taken; None where nothing is."""
    path = folder / "spec.yaml"
    path.write_bytes(text)
    began = time.process_time()
    try:
        plan = make_plan(path, [], Cluster.SLURM, {"HOME": str(folder), "PATH": "/usr/bin:/bin"})
        script = render(plan)
    except CuratorSlurmError as error:
        found = None if str(error).strip() else "an error without a word"
        return _too_long(began) or found
    except BaseException:
        return traceback.format_exc()
    if slow := _too_long(began):
        return slow
    (folder / "job.sbatch").write_bytes(script.encode(errors="surrogateescape"))
    read = subprocess.run(["bash", "-n", str(folder / "job.sbatch")], capture_output=True, text=True, check=False)
    if read.returncode or read.stderr:
        return f"bash -n: {read.stderr}"
    return _canary(plan, folder)


def _too_long(began: float) -> str | None:
    seconds = time.process_time() - began
    return f"took {seconds:.1f} s of CPU" if seconds > SECONDS else None


def _canary(plan: Any, folder: Path) -> str | None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        lab = ScriptLab(Path(place))
        env = {**plan.spec.environment.env, "RECORD": str(lab.record)}
        environment = plan.spec.environment.model_copy(update={"env": env, "modules": [], "conda": None})
        spec = plan.spec.model_copy(update={"environment": environment})
        # Without the folder of this machine's Slurm, whose srun would come before the lab's.
        lab.run(plan.model_copy(update={"spec": spec, "python": str(lab.python), "slurm_bin": None}))
        ran = list(Path(place).rglob(CANARY))
    return f"a value ran: {ran}" if ran else None


def specs(seed: int, count: int) -> Iterator[bytes]:
    """`count` specs, always the same ones for a seed."""
    for number in range(count):
        yield spec_text(random.Random(f"{seed}.{number}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"{options.count} specs of seed {options.seed}", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(specs(options.seed, options.count)):
            found = problem(text, Path(folder))
            if found:
                bad += 1
                print(f"--- spec {number}: {found}\n{text[:600]!r}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.count} specs, {bad} wrong, at most {peak:.0f} MiB")
    return int(bad > 0 or peak > MEBIBYTES)


if __name__ == "__main__":
    sys.exit(main())
