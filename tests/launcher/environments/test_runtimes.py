"""What each runtime is told: read by a stand-in that knows the options of the real one, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from container_stand_ins import OPTIONS, Call, parse, parse_srun

from curator_slurm.launcher.environments import runtimes
from curator_slurm.launcher.environments.container import Container, Mount
from curator_slurm.launcher.environments.site_command import unknown_places
from curator_slurm.launcher.spec.container_section import Runtime

MOUNTS = (Mount("/data", "/data", True), Mount("/runs", "/runs"), Mount("/a", "/b"))
IMAGES = {
    Runtime.PYXIS: "nvcr.io/nvidia/nemo-curator:25.09",
    Runtime.ENROOT: "/images/curator.sqsh",
    Runtime.APPTAINER: "/images/curator.sif",
    Runtime.SINGULARITY: "/images/curator.sif",
    Runtime.CHARLIECLOUD: "/images/curator",
    Runtime.PODMAN: "/images/curator",
    Runtime.PODMAN_HPC: "nvcr.io/nvidia/nemo-curator:25.09",
    Runtime.SHIFTER: "nvcr.io/nvidia/nemo-curator:25.09",
}


def called(runtime: Runtime, container: Container) -> Call:
    start = runtimes.start(runtime, container)
    if start.on_srun:
        return parse_srun(start.words)
    words = [word for word in start.words if word]
    assert words[0] == runtimes.program(runtime)
    call = parse(runtime.value, [*words[1:], "bash", "-c", "true"])
    assert call.command == ["bash", "-c", "true"]
    return call


EVERY = [pytest.param(runtime, id=runtime.value) for runtime in IMAGES]


def test_every_runtime_has_its_documented_options() -> None:
    assert set(OPTIONS) == {runtime.value for runtime in IMAGES}
    assert all(known["source"].startswith("https://") for known in OPTIONS.values())


@pytest.mark.parametrize("runtime", EVERY)
def test_all_that_can_be_asked_is_known_to_the_runtime(runtime: Runtime) -> None:
    plain = Container(IMAGES[runtime], MOUNTS)
    for container in (plain, replace(plain, writable=True, home=True, remap_root=True, name="n", gpus=True)):
        call = called(runtime, container)
        image = call.image or next(value for name, value in call.options if name.endswith("image")) or ""
        assert "curator" in image


@pytest.mark.parametrize("runtime", EVERY)
def test_an_option_of_the_user_stands_before_the_image(runtime: Runtime) -> None:
    name = OPTIONS[runtime.value]["flags"][0]
    assert called(runtime, Container(IMAGES[runtime], options=(name,))).all(name) == [None]


def test_pyxis() -> None:
    call = called(Runtime.PYXIS, Container(IMAGES[Runtime.PYXIS], MOUNTS, name="curator"))
    assert call.all("--container-image") == ["nvcr.io#nvidia/nemo-curator:25.09"]
    assert call.all("--container-mounts") == ["/data:/data:ro,/runs:/runs,/a:/b"]
    assert call.all("--container-name") == ["curator-${SLURM_JOB_ID}"]
    names = {name for name, _ in call.options}
    assert {"--no-container-mount-home", "--no-container-remap-root", "--container-readonly"} < names
    asked = called(Runtime.PYXIS, Container("/i/a.sqsh", home=True, remap_root=True, writable=True))
    assert {"--container-mount-home", "--container-remap-root", "--container-writable"} < {n for n, _ in asked.options}
    assert asked.all("--container-image") == ["/i/a.sqsh"]
    assert not asked.all("--container-name")


def test_enroot() -> None:
    call = called(Runtime.ENROOT, Container("/i/a.sqsh", MOUNTS))
    assert call.all("--mount")[:2] == [
        "/data:/data:none:x-create=auto,rbind,ro",
        "/runs:/runs:none:x-create=auto,rbind",
    ]
    assert call.image == "/i/a.sqsh"


@pytest.mark.parametrize("runtime", [Runtime.APPTAINER, Runtime.SINGULARITY])
def test_apptainer_and_singularity(runtime: Runtime) -> None:
    call = called(runtime, Container("nvcr.io/nvidia/x:1", MOUNTS, gpus=True))
    assert call.all("--bind") == ["/data:/data:ro", "/runs:/runs", "/a:/b"]
    assert call.image == "docker://nvcr.io/nvidia/x:1"
    assert {"--cleanenv", "--no-home", "--nv"} == {name for name, value in call.options if value is None}
    rocm = called(runtime, Container("/i/a.sif", gpus=True, gpu_options=("--rocm",)))
    assert rocm.all("--rocm")
    assert not rocm.all("--nv")
    assert not called(runtime, Container("/i/a.sif", gpu_options=("--rocm",))).all("--rocm", "--nv")


def test_charliecloud_shares_tmp_and_dev_anyway() -> None:
    mounts = (Mount("/tmp", "/tmp"), Mount("/dev/shm", "/dev/shm"), *MOUNTS)
    start = runtimes.start(Runtime.CHARLIECLOUD, Container("/i/root", mounts))
    assert called(Runtime.CHARLIECLOUD, Container("/i/root", mounts)).all("--bind") == [
        "/data:/data",
        "/runs:/runs",
        "/a:/b",
    ]
    assert start.unset == ("TMPDIR",)  # else it would be /tmp inside


def test_podman() -> None:
    call = called(Runtime.PODMAN, Container("/i/root", (*MOUNTS, Mount("/dev/shm", "/dev/shm")), gpus=True))
    assert call.image == "/i/root:O"  # what is changed is lost
    shared = "/dev/shm:/dev/shm:rw,rbind"  # --ipc=host would want /dev/mqueue, too
    assert call.all("--volume") == ["/data:/data:ro,rbind", "/runs:/runs:rw,rbind", "/a:/b:rw,rbind", shared]
    assert not call.all("--ipc")
    assert call.all("--device") == ["nvidia.com/gpu=all"]
    assert call.all("--root") == ["${CURATOR_SLURM_CONTAINER_DIR}/root"]
    assert call.all("--userns") == ["keep-id"]
    of_registry = called(Runtime.PODMAN, Container("docker://nvcr.io/nvidia/x:1", remap_root=True))
    assert of_registry.image == "nvcr.io/nvidia/x:1"
    assert not of_registry.all("--root", "--userns")
    assert of_registry.all("--read-only") == [None]


def test_podman_hpc_and_shifter() -> None:
    call = called(Runtime.PODMAN_HPC, Container("nvcr.io/nvidia/x:1", MOUNTS, gpus=True))
    assert (call.image, call.all("--gpu")) == ("nvcr.io/nvidia/x:1", [None])
    call = called(Runtime.SHIFTER, Container("nvcr.io/nvidia/x:1", MOUNTS, gpus=True))
    assert call.all("--image") == ["docker:nvcr.io/nvidia/x:1"]
    assert call.all("--volume") == ["/data:/data:ro", "/runs:/runs", "/a:/b"]
    assert call.all("--module") == ["gpu"]


def test_words_of_the_site() -> None:
    template = ("enter", "--root={image}", "--name={name}", "--bind={source}={target},{mode}", "--")
    start = runtimes.start(Runtime.COMMAND, Container("/i/root", MOUNTS, template=template))
    assert start.words == ("enter", "--root=/i/root", *(f"--bind={b}" for b in BINDS), "--")
    assert not start.on_srun
    on_srun = Container("env.toml", MOUNTS, template=("--environment={image}",), on_srun=True, name="x")
    assert runtimes.start(Runtime.COMMAND, on_srun).words == ("--environment=env.toml",)
    assert unknown_places(("--a={image}", "--b={imgae}", "${HOME}/{mount}")) == ["{imgae}"]


BINDS = ("/data=/data,ro", "/runs=/runs,rw", "/a=/b,rw")


def test_auto_takes_what_the_site_says_else_what_a_node_may_have() -> None:
    sif, squash = "/i/a.sif", "/i/a.sqsh"
    auto, site = Runtime.AUTO, [Runtime.PYXIS, Runtime.APPTAINER]
    assert runtimes.candidates(Runtime.ENROOT, site, squash) == [Runtime.ENROOT]
    assert runtimes.candidates(auto, site, squash) == [Runtime.PYXIS]
    assert runtimes.candidates(auto, site, sif) == [Runtime.APPTAINER]
    assert runtimes.candidates(auto, [Runtime.PYXIS], sif) == [Runtime.PYXIS]  # and the image is refused
    assert runtimes.candidates(auto, [], sif) == [Runtime.APPTAINER, Runtime.SINGULARITY]
    assert runtimes.candidates(auto, [], squash)[0] is Runtime.PYXIS
    assert runtimes.known(["edf", "enroot", "auto"]) == [Runtime.ENROOT]
