"""The container of a plan: which runtime starts it with which words, and what it sees of the host."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.launcher.environments import images, runtimes, site_command
from curator_slurm.launcher.environments.container import Container, Mount
from curator_slurm.launcher.environments.mounts import folder_of, missing, without_doubles
from curator_slurm.launcher.inputs.address import local_path
from curator_slurm.launcher.plan.local_disk import ON_NODES, local_disk
from curator_slurm.launcher.plan.model import Cluster, ContainerStart, Plan
from curator_slurm.launcher.site.cluster_facts import ContainerFacts, ContainerPlace
from curator_slurm.launcher.spec.container_section import Runtime
from curator_slurm.launcher.spec.locations import absolute

KEY = "environment.container"
_SHARED_MEMORY = "/dev/shm"
"""Of Ray's object store."""
_OF_IMAGES = ("/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run", "/var")
"""Folders whose names a host and an image both have: a path in them may mean the image's."""

Wrong = tuple[str, str]
"""Dotted key, and message."""


def with_container(plan: Plan, environ: Mapping[str, str]) -> tuple[Plan, list[Wrong]]:
    """The plan with what starts its container, and what is wrong with it."""
    asked = plan.spec.environment.container
    if asked is None:
        return (plan if not plan.containers else plan.model_copy(update={"containers": []})), []
    facts = _facts(plan)
    try:
        image = _image(asked.image, facts, plan, environ)
    except ValueError as error:
        return plan, [(f"{KEY}.image", f"`{KEY}.image` {error}")]
    try:
        own = [_absolute(text, plan, environ) for text in (*facts.binds, *asked.mounts)]
    except ValueError as error:
        return plan, [(f"{KEY}.mounts", f"`{KEY}.mounts` {error}")]
    wanted = runtimes.candidates(asked.runtime, runtimes.known(facts.runtimes), image)
    if plan.cluster is Cluster.LOCAL and len(wanted) > 1:
        wanted = [each for each in wanted if each is not Runtime.PYXIS]
    wrong = list(_wrong(plan, facts, wanted, image))
    if wrong:
        return plan, wrong
    takes_mounts = wanted != [Runtime.COMMAND] or site_command.takes_mounts(tuple(facts.command))
    automatic = [mount for _, mount in _automatic(plan)] if takes_mounts else []
    container = Container(
        image=image,
        mounts=without_doubles((*automatic, *own)),
        writable=asked.writable,
        home=asked.home,
        remap_root=asked.remap_root,
        name=asked.name,
        gpus=any(part.resources.wants_gpus for part in plan.parts()),
        gpu_options=None if facts.gpu_options is None else tuple(facts.gpu_options),
        options=tuple(asked.options),
        template=tuple(facts.command),
        on_srun=facts.place is ContainerPlace.SRUN and plan.cluster is Cluster.SLURM,
    )
    starts = [_start(runtime, container) for runtime in wanted]
    update = {"containers": starts, "container_env": {**facts.env, **asked.env}}
    return plan.model_copy(update=update), list(_uncovered(plan, container))


def _facts(plan: Plan) -> ContainerFacts:
    """What the site says; on this machine alone, only of a runtime of its own."""
    return ContainerFacts() if plan.site is None else plan.at_site().container


def _start(runtime: Runtime, container: Container) -> ContainerStart:
    start = runtimes.start(runtime, container)
    return ContainerStart(
        runtime=runtime,
        program=runtimes.program(runtime),
        words=list(start.words),
        on_srun=start.on_srun,
        unset=list(start.unset),
        scratch=start.scratch,
    )


def _image(image: str, facts: ContainerFacts, plan: Plan, environ: Mapping[str, str]) -> str:
    """With its whole path, where it is on storage."""
    if not images.is_path(image):
        return image
    folder = Path(plan.spec_dir)
    if facts.images is not None and not image.startswith(("/", "~", "$", ".")):
        folder = Path(absolute(facts.images, folder, environ))
    return os.path.normpath(absolute(image, folder, environ))


def _absolute(text: str, plan: Plan, environ: Mapping[str, str]) -> Mount:
    mount = Mount.parse(text)
    source = absolute(mount.source, Path(plan.spec_dir), environ, on_nodes=ON_NODES)
    return Mount(source, source if mount.target == mount.source else mount.target, mount.read_only)


def _wrong(plan: Plan, facts: ContainerFacts, wanted: list[Runtime], image: str) -> Iterator[Wrong]:
    """What makes no container at all."""
    key, kind = f"{KEY}.runtime", images.kind_of(image)
    if not wanted:
        yield key, f"`{KEY}.image` is {kind.value}, and no runtime that `{key}: auto` looks for starts one; name one"
        return
    for runtime in wanted:
        if not runtimes.takes(runtime, image):
            able = ", ".join(each for each in runtimes.ALL if runtimes.takes(each, image))
            yield (
                f"{KEY}.image",
                f"`{KEY}.image` is {kind.value} ({image}), which {runtime} cannot start; {able} can, or convert it",
            )
    if Runtime.COMMAND in wanted:
        template = tuple(facts.command)
        if not template:
            yield key, f"`{key}` is command, and no site file says how it is started (container.command)"
        for place in site_command.unknown_places(template):
            yield "container.command", f"`container.command` has {place}, which stands for nothing"
    if wanted == [Runtime.PYXIS]:
        if plan.cluster is Cluster.LOCAL:
            yield key, f"`{key}` is pyxis, which is a part of Slurm, and this runs without"
        if plan.spec.environment.modules:
            yield (
                "environment.modules",
                "`environment.modules`: with pyxis all that runs on a node is in the container, where there is no "
                "module command; bring the software with the image, or leave modules out",
            )
    path = next((path for _, path in _paths(plan) if _unmountable(path)), None)
    if path is not None:
        yield KEY, f"`{KEY}`: {path} cannot be mounted: container runtimes take no :, comma or blank in paths"
    if images.is_path(image) and Path(image).parent.is_dir() and not Path(image).exists():
        yield f"{KEY}.image", f"`{KEY}.image`: {image} does not exist"


def _unmountable(path: str) -> bool:
    return any(character in ":," or character.isspace() for character in path)


def _automatic(plan: Plan) -> Iterator[tuple[str, Mount]]:
    """(key, mount) of what every run needs: by the names that it uses, and by those that these lead to."""
    for key, path, read_only in _needed(plan):
        for name in dict.fromkeys((path, path if "${" in path else os.path.realpath(path))):
            if name != "/":
                yield key, Mount(name, name, read_only)
    yield _SHARED_MEMORY, Mount(_SHARED_MEMORY, _SHARED_MEMORY)


def _needed(plan: Plan) -> Iterator[tuple[str, str, bool]]:
    """(key, folder that exists, whether it is only read)."""
    spec = plan.spec
    if spec.storage.runs is not None:
        yield "storage.runs", spec.storage.runs, False
    for group in (None, *(each.name for each in spec.resources.groups)):
        yield "storage.node_local", local_disk(plan, group).path or "/tmp", False
    if spec.output.path is not None:
        yield "output.path", _existing(os.path.dirname(spec.output.path)), False  # noqa: PTH120 (text)
    if spec.pipeline.checkpoint_path is not None:
        yield "pipeline.checkpoint_path", _existing(spec.pipeline.checkpoint_path), False
    for key, path in _inputs(plan):
        yield key, _folder(path), True
    for index, path in enumerate(spec.environment.stage_paths if plan.is_staged else ()):
        yield f"environment.stage_paths.{index}", path, True


def _inputs(plan: Plan) -> Iterator[tuple[str, str]]:
    given = plan.spec.input
    if given is None:
        return
    paths = [(f"input.paths.{index}", path) for index, path in enumerate(given.paths)]
    for key, path in [*paths, *([("input.manifest", given.manifest)] if given.manifest else [])]:
        if not is_remote(path):
            yield key, local_path(path)


def _folder(path: str) -> str:
    """What to mount for an input: the folder of a file or a pattern."""
    folder = folder_of(path)
    return folder if Path(folder).is_dir() else os.path.dirname(folder)  # noqa: PTH120 (text)


def _existing(path: str) -> str:
    """The folder, or the nearest above it: what is not there cannot be mounted, and the run will make it."""
    found = Path(path)
    return str(next((each for each in (found, *found.parents) if each.is_dir()), Path("/")))


def _paths(plan: Plan) -> list[tuple[str, str]]:
    """(key, path) of all that a run uses of the host, without the site's and the user's own mounts."""
    return [(key, path) for key, path, _ in _needed(plan)]


def _uncovered(plan: Plan, container: Container) -> Iterator[Wrong]:
    """Paths of the spec that are not there inside."""
    needed = [(key, path) for key, path in _paths(plan) if "${" not in path]
    others = [(key, path) for key, path in _named(plan) if Path(path).exists()]
    for key, path in missing([*needed, *others], container.mounts):
        folder = path if Path(path).is_dir() else os.path.dirname(path)  # noqa: PTH120 (text)
        yield (
            key,
            f"`{key}`: {path} is not in the container, because no mount covers it; add it with "
            f"{KEY}.mounts: [{folder}]",
        )


def _named(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, path) where a value of the pipeline or of a variable is a path that can only be the host's."""
    spec = plan.spec
    values: list[tuple[str, Any]] = [("pipeline.args", spec.pipeline.args), ("environment.env", spec.environment.env)]
    values += [(f"pipeline.stages.{index}.with", stage.with_) for index, stage in enumerate(spec.pipeline.stages or ())]
    for key, value in values:
        for below, text in _texts(key, value):
            if text.startswith("/") and text.count("/") > 1 and not _may_be_of_image(text):
                yield below, text.rstrip("/")


def _may_be_of_image(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in _OF_IMAGES) or ":" in path or "\0" in path


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(f"{key}.{name}", item)
    elif isinstance(value, Iterable):
        for index, item in enumerate(value):
            yield from _texts(f"{key}.{index}", item)
