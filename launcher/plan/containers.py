"""The container of a plan: which runtime starts it with which words, and what it sees of the host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from curator_slurm.common.addresses import is_remote
from curator_slurm.launcher.environments import images, runtimes, site_command
from curator_slurm.launcher.environments.container import Container, Mount
from curator_slurm.launcher.environments.images import ImageKind
from curator_slurm.launcher.environments.mounts import folder_of, missing, without_doubles
from curator_slurm.launcher.inputs.address import local_path
from curator_slurm.launcher.plan.container_paths import named_paths, without_place
from curator_slurm.launcher.plan.local_disk import ON_NODES, local_disk
from curator_slurm.launcher.plan.model import Cluster, ContainerStart, Plan
from curator_slurm.launcher.site.cluster_facts import ContainerFacts, ContainerPlace
from curator_slurm.launcher.spec.container_section import Runtime
from curator_slurm.launcher.spec.locations import absolute

KEY = "environment.container"
_SHARED_MEMORY = "/dev/shm"
"""Of Ray's object store."""
_GIVE_DEVICES = (Runtime.PODMAN, Runtime.PODMAN_HPC)
"""Runtimes that do not start with the option for GPUs where there are none."""

_OF_RUNTIMES = (
    *("APPTAINER", "SINGULARITY", "ENROOT_", "PYXIS_", "CH_", "PODMAN_", "CONTAINER", "STORAGE_", "SHIFTER"),
    *("BUILDAH_", "NVIDIA_", "MELLANOX_", "SLURM_", "SPANK_", "XDG_", "TMPDIR", "PATH", "LD_", "SSL_", "FUSE_"),
    *("REGISTRY_", "HTTP", "http", "NO_PROXY", "no_proxy"),
)
"""How variables begin that a runtime reads."""

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
    wrong = [*_uncovered(plan, container), *_without_place(container, wanted)]
    return plan.model_copy(update=update), wrong


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
    yield from _groups_apart(plan, facts, wanted)
    path = next((path for _, path in _paths(plan) if _unmountable(path)), None)
    if path is not None:
        yield KEY, f"`{KEY}`: {path} cannot be mounted: container runtimes take no :, comma or blank in paths"
    if Runtime.COMMAND not in wanted:
        yield from _not_an_image(plan, image)


def _not_an_image(plan: Plan, image: str) -> Iterator[Wrong]:
    """What is seen here of an image that a runtime of ours would have to start."""
    key, path = f"{KEY}.image", Path(image)
    if not images.is_path(image):
        if os.path.isdir(folder := os.path.join(plan.spec_dir, image)):  # noqa: PTH112, PTH118 (any text)
            yield key, f"`{key}`: {image} is a name in a registry; if {folder} is meant, write ./{image}"
    elif path.parent.is_dir() and not path.exists():
        yield key, f"`{key}`: {image} does not exist"
    elif images.kind_of(image) is not ImageKind.FOLDER:
        if path.is_dir():
            yield key, f"`{key}`: {image} is a folder, and its name that of {images.kind_of(image).value}"
    elif path.is_file():
        yield key, f"`{key}`: {image} is a file, and its name does not say of which form: .sif, .sqsh or .squashfs"
    elif os.access(path, os.X_OK) and not os.path.lexists(path / "bin"):
        yield key, f"`{key}`: {image} is no root file system: it has no bin"


def notes(plan: Plan, environ: Mapping[str, str]) -> Iterator[Wrong]:
    """What looks like a mistake, and may be none."""
    asked, facts = plan.spec.environment.container, _facts(plan)
    if asked is None:
        return
    image = _image(asked.image, facts, plan, environ)
    if images.is_path(image) and not Path(image).parent.is_dir():
        yield f"{KEY}.image", f"`{KEY}.image`: {image} is not there on this machine; nodes must have it"
    others = [name for name in asked.env if not name.startswith(_OF_RUNTIMES)]
    if others:
        yield (
            f"{KEY}.env",
            f"`{KEY}.env` is for the program that starts the container; what runs inside gets {', '.join(others)} "
            "from `environment.env`",
        )


def _groups_apart(plan: Plan, facts: ContainerFacts, wanted: list[Runtime]) -> Iterator[Wrong]:
    """What the nodes of one group have and those of another have not: all start the container with the same words."""
    groups = [] if plan.cluster is Cluster.LOCAL else [group.name for group in plan.spec.resources.groups]
    folders = {name: local_disk(plan, name).path or "/tmp" for name in groups}
    if len(set(folders.values())) > 1:
        said = ", ".join(f"{folder} in group {name}" for name, folder in folders.items())
        yield (
            "storage.node_local",
            f"`storage.node_local` is {said} by the site, and all nodes of a run mount the same folders into its "
            "container: name one that each of them has, such as storage.node_local: /tmp",
        )
    parts = [part for part in plan.parts() if part.group is not None] if groups else []
    without = {groups[part.group or 0] for part in parts if not part.resources.wants_gpus}
    if all(each in _GIVE_DEVICES for each in wanted) and facts.gpu_options != [] and 0 < len(without) < len(groups):
        yield (
            f"{KEY}.runtime",
            f"`{KEY}.runtime`: {wanted[0]} gives a container the GPUs as devices, which nodes of group "
            f"{', '.join(sorted(without))} have not, and all nodes start it with the same options: take another "
            "runtime, or a site file with container.gpu_options: [] where GPUs come in another way",
        )


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


def _without_place(container: Container, wanted: list[Runtime]) -> Iterator[Wrong]:
    """Mounts for which Charliecloud does not find the target in a folder, where it makes none."""
    if wanted == [Runtime.CHARLIECLOUD] and images.kind_of(container.image) is ImageKind.FOLDER:
        places = [] if container.writable else list(without_place(container.image, container.mounts))
        if places:
            folders = " ".join(f"{container.image}{place}" for place in places)
            yield (
                f"{KEY}.image",
                f"`{KEY}.image`: {container.image} has no {', '.join(places)}, and Charliecloud mounts only where "
                f"there is something: mkdir -p {folders}; or {KEY}.writable: true, or another runtime",
            )


def _uncovered(plan: Plan, container: Container) -> Iterator[Wrong]:
    """Paths of the spec that are not there inside."""
    needed = [(key, path) for key, path in _paths(plan) if "${" not in path]
    for key, path in missing([*needed, *named_paths(plan)], container.mounts):
        folder = path if Path(path).is_dir() else os.path.dirname(path)  # noqa: PTH120 (text)
        yield (
            key,
            f"`{key}`: {path} is not in the container, because no mount covers it; add it with "
            f"{KEY}.mounts: [{folder}]",
        )
