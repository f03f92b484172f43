"""What a run is told of how compute nodes reach the internet: variables of libraries, and warnings. Pure.

What the spec itself sets counts more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from curator_slurm.common.addresses import is_remote
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.nested_texts import nested_texts
from curator_slurm.launcher.site.cluster_facts import Internet, ProxySpec
from curator_slurm.launcher.site.model import Site

OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "WANDB_MODE": "offline",
}
"""With these, libraries use what they have downloaded, and fail at once instead of after minutes of waiting."""


def internet_of(plan: Plan) -> tuple[Internet | None, str]:
    """How the nodes of a plan reach the internet, and the key that says so; None: nobody has said.

    Variables hold for a whole run. So where groups differ, it has no internet if none of them has, and a proxy if one
    needs it.
    """
    if plan.site is None or plan.cluster is Cluster.LOCAL:
        return None, ""
    site = plan.at_site()
    found = [_in_place(site, place) for place in dict.fromkeys(part.place for part in plan.parts())]
    proxy = next((each for each in found if each[0] is Internet.PROXY), None)
    other = next((each for each in found if each[0] is not Internet.NO), None)
    return proxy or other or found[0]


def _in_place(site: Site, place: str | None) -> tuple[Internet | None, str]:
    """The same of the nodes in one partition of the site files."""
    part = site.partition(place) if place is not None else None
    if place is None or part is None or part.internet is None:
        return site.network.internet, "network.internet"
    own = "internet" in site.partitions[place].model_fields_set
    return part.internet, f"partitions.{place}.internet" if own else "partition_defaults.internet"


def with_internet(plan: Plan) -> Plan:
    """The plan with the variables that its libraries need to know of no internet, or of a proxy."""
    how, key = internet_of(plan)
    if how is Internet.NO:
        wanted, cause = dict(OFFLINE), key
    elif how is Internet.PROXY:
        wanted, cause = _proxy(plan.at_site().network.proxy), "network.proxy"
    else:
        return plan
    environment = plan.spec.environment
    given = {name.lower() for name in (*environment.env, *environment.secrets)}
    new = {name: value for name, value in wanted.items() if name.lower() not in given}
    where = next((plan.origins[each] for each in (cause, f"{cause}.http", key) if each in plan.origins), "a site file")
    origins = {f"environment.env.{name}": f"{where} ({cause})" for name in new}
    spec = plan.spec.model_copy(
        update={"environment": environment.model_copy(update={"env": {**environment.env, **new}})}
    )
    return plan.model_copy(update={"spec": spec, "origins": {**plan.origins, **origins}})


def _proxy(proxy: ProxySpec) -> dict[str, str]:
    """Variables for a proxy, in both spellings: programs differ."""
    pairs = {
        "http_proxy": proxy.http,
        "https_proxy": proxy.https or proxy.http,
        "no_proxy": ",".join(proxy.no_proxy) or None,
    }
    return {spelling: value for name, value in pairs.items() if value is not None for spelling in (name, name.upper())}


def needs_internet(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, message) of what a plan reads from the internet, where its nodes have none."""
    how, key = internet_of(plan)
    if how is not Internet.NO:
        return
    where = plan.origins.get(key, "a site file")
    for setting, text in _addresses(plan):
        yield (
            setting,
            f"`{setting}` is {text}, and compute nodes here have no internet ({key} in {where}); copy it to shared "
            "storage first",
        )


def _addresses(plan: Plan) -> Iterator[tuple[str, str]]:
    files, pipeline = plan.spec.input, plan.spec.pipeline
    if files is not None:
        yield from ((f"input.paths.{index}", path) for index, path in enumerate(files.paths) if is_remote(path))
        if files.manifest is not None and is_remote(files.manifest):
            yield "input.manifest", files.manifest
    texts = [*nested_texts("pipeline.args", pipeline.args)]
    for index, stage in enumerate(pipeline.stages or ()):
        texts += nested_texts(f"pipeline.stages.{index}", stage.model_dump(mode="json", by_alias=True))
    yield from ((key, text) for key, text in texts if "://" in text and is_remote(text))
