"""Pages and the table about the catalogue of clusters, made from its files: `make docs-tables` writes them.

The table says what each of a few specs becomes at each site, so that a change of a file, or of how needs are resolved,
is seen in what sbatch gets.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import yaml

from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import plan_of
from curator_slurm.launcher.plan.sbatch_lines import collect_lines, sbatch_lines
from curator_slurm.launcher.site import catalogue
from curator_slurm.launcher.site.layers import CATALOGUE_VARIABLE, Layers, load
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.site.specs import read_spec_text

SITES = Path(__file__).parents[1] / "docs" / "sites"
SNAPSHOT = Path(__file__).with_name("catalogue_options.txt")
NEEDS = {
    "nothing": "{}",
    "account": "{account: proj}",
    "16 GPUs": "{account: proj, gpus: 16, time: '1:00:00'}",
    "1 GPU": "{account: proj, gpus: 1, time: '30:00'}",
    "512 CPUs": "{account: proj, cpus: 512, mem_per_cpu: 1G, time: '1:00:00'}",
    "30 hours": "{account: proj, nodes: 2, time: '30:00:00'}",
    "an H100": "{account: proj, gpu_type: h100, time: '1:00:00'}",
    "200 nodes": "{account: proj, nodes: 200, time: '3:00:00'}",
}
_ALWAYS = frozenset({"job-name", "ntasks-per-node", "output", "open-mode", "requeue", "no-requeue", "signal"})


def layers_of(name: str) -> Layers:
    """The catalogue entry alone."""
    return load(Path("/nonexistent"), {CATALOGUE_VARIABLE: name, "HOME": "/nonexistent"})


@cache
def site_of(name: str) -> Site:
    site = layers_of(name).site()
    assert site is not None
    return site


def plan_at(name: str, resources: str) -> Plan:
    """The plan of a spec with these resources at a site."""
    text = f"name: x\npipeline: {{command: 'true'}}\nresources: {resources}\n"
    environ = {CATALOGUE_VARIABLE: name, "HOME": "/nonexistent", "PATH": "/nonexistent", "USER": "somebody"}
    with tempfile.TemporaryDirectory() as folder:
        environ["CURATOR_SLURM_RUNS"] = folder
        reading, layers = read_spec_text(text, "spec.yaml", Path(folder), (), environ)
        return plan_of(reading, Path(folder), Cluster.SLURM, environ, layers=layers)


def options_at(name: str, resources: str) -> str:
    """The options of sbatch beside those that are everywhere, or why there are none."""
    try:
        plan = plan_at(name, resources)
    except CuratorSlurmError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        words = " / ".join(line.partition(": ")[2] for line in lines)
        return f"refused: {words}".replace(f"{catalogue.FOLDER}/", "")
    options = " ".join(_option(*option) for option in sbatch_lines(plan) if option[0] not in _ALWAYS)
    return (
        f"{options}\n    collect: {' '.join(_option(*each) for each in collect_lines(plan) if each[0] not in _ALWAYS)}"
    )


def _option(name: str, value: str | None) -> str:
    return f"--{name}" if value is None else f"--{name}={value}"


def snapshot() -> str:
    """What every spec becomes at every site."""
    lines = ["# spec x site -> options of sbatch: make docs-tables writes this file, and a test compares it."]
    for name in catalogue.names():
        lines += ["", f"## {name}"]
        for what, resources in NEEDS.items():
            lines.append(f"{what}: {resources}")
            lines.append(f"    {options_at(name, resources)}")
    return "\n".join(lines) + "\n"


def page(name: str) -> str:
    """The page of a site."""
    site = site_of(name)
    own = yaml.safe_load((catalogue.FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    lines = [
        f"# {site.site.name}\n",
        f"{site.site.about}.\nUse it with `--site {name}`, or with `extends: [{name}]` in a site file.\n",
        "**Written from documentation, and not tried on the machine.** Try `curator-slurm submit --dry-run` first, and "
        "tell us\nwhat is wrong: [how to change an entry](catalogue.md#add-or-correct-an-entry).\n",
        f"- The site's own pages: {site.site.docs}",
    ]
    identity = site.site
    guess = dict.fromkeys(identity.assumed, " (a guess)")
    recognised = [f"ClusterName {each}{guess.get('cluster_names', '')}" for each in identity.cluster_names]
    recognised += [f"host names `{each}`{guess.get('hosts', '')}" for each in identity.hosts]
    lines.append(f"- Recognised by: {', '.join(recognised) or 'nothing; it has to be named'}")
    if identity.assumed:
        lines.append("- A guess is what no source says")
    for base in own.get("extends", []):
        lines.append(f"- What is not said here is as at [{site_of(base).site.name}]({base}.md)")
    lines += ["", "## Partitions\n", *_partitions(site), "", "## Sources\n"]
    lines += ["| page | read | what for |", "|---|---|---|"]
    lines += [f"| {source.url} | {source.date} | {source.about} |" for source in site.site.sources]
    text = (catalogue.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return "\n".join([*lines, "", "## The entry\n", "```yaml site", text.rstrip(), "```", ""])


def _partitions(site: Site) -> list[str]:
    rows = [
        "| name | what it is | GPUs | usable CPUs | nodes of a job | time limit | chosen |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in site.partitions:
        part = site.partition(name)
        assert part is not None
        limits = part.limits
        steps = "; ".join(
            f"{step.time} up to {step.nodes} nodes" if step is not limits.time_by_nodes[-1] else f"{step.time} for more"
            for step in limits.time_by_nodes
        )
        longest = limits.time or steps or (f"{limits.node_hours:g} node-hours" if limits.node_hours else "")
        gpus = f"{part.gpus} {part.gpu_type or ''}".strip() if part.gpus else ""
        nodes = f"{limits.min_nodes or 1} to {limits.nodes}" if limits.nodes else ""
        cells = [f"`{name}`", part.about or "", gpus, str(part.usable_cpus or part.cpus or ""), nodes, longest]
        rows.append(f"| {' | '.join(cells)} | {'yes' if part.choose else 'if named'} |")
    return rows


INDEX = """\
# Catalogue of clusters

Site files that come with curator-slurm, one for each cluster that its public documentation describes. They are
**written from documentation, and not tried on the machines**; each page names its sources and their dates.

    curator-slurm site show --site lumi-g              # what the entry says
    curator-slurm plan spec.yaml --site lumi-g --set resources.account=project_462000001  # what a spec becomes there
    curator-slurm submit spec.yaml --site lumi-g --set resources.account=project_462000001

An administrator's `/etc/curator-slurm/site.yaml` takes an entry over with `extends: [lumi-g]` and corrects what is
wrong. Where there is neither that file nor `$CURATOR_SLURM_SITE`, the entry of a cluster is recognised by ClusterName
in slurm.conf or by the host name, and a note says so; `--site none` does without. That ClusterName is the machine's
name is a guess almost everywhere, as the pages say: look at the note. `$CURATOR_SLURM_CATALOGUE` names an
entry as `--site` does.

"""
CONTRIBUTE = """
## Add or correct an entry

1. Write a file NAME.yaml in `launcher/site/catalogue/`; all keys are in the [reference](keys.md). Only what a public
   page says: leave out what you would have to guess, curator-slurm then asks Slurm for nothing of the kind.
2. `site` needs `name`, `about`, `contact`, `docs`, and `sources` with `url`, `date` and `about` of each, and
   `tried: false` until somebody has run on the machine. `cluster_names` and `hosts` are lists on one line, of names
   that no other cluster has; `assumed` names the one of the two that no source says.
3. The first partition that fits a run is taken: put those that most runs should go to first, and set `choose: false`
   for those to try things in, with low priority, or that may be preempted. Where a QOS or a constraint makes two of one
   partition, write two entries with one `slurm_name`.
4. `make docs-tables` writes the page, this list, and `tests/catalogue_options.txt`: what eight specs become at every
   site. Read what has changed there, and commit it: reviewers read it, too.
5. `pytest tests/launcher/site/test_catalogue.py` validates all entries.
"""


def index() -> str:
    """The list of all entries, and how to add one."""
    rows = ["| entry | what it is | asks Slurm by |", "|---|---|---|"]
    for name in catalogue.names():
        site = site_of(name)
        habits = f"GPUs: {site.slurm.gpus.value}; memory: {site.slurm.mem.value}; --export: {site.slurm.export.value}"
        rows.append(f"| [`{name}`]({name}.md) | {site.site.about} | {habits} |")
    return INDEX + "\n".join(rows) + "\n" + CONTRIBUTE


@cache
def pages() -> dict[Path, str]:
    """Every generated file and its text."""
    found = {SITES / f"{name}.md": page(name) for name in catalogue.names()}
    return {**found, SITES / "catalogue.md": index(), SNAPSHOT: snapshot()}
