"""What an image is by its name."""

from __future__ import annotations

import pytest

from curator_slurm.launcher.environments import images
from curator_slurm.launcher.environments.images import ImageKind


@pytest.mark.parametrize(
    ("image", "kind", "enroot", "docker"),
    [
        ("nvcr.io/nvidia/x:1", ImageKind.REGISTRY, "nvcr.io#nvidia/x:1", "docker://nvcr.io/nvidia/x:1"),
        ("docker://nvcr.io/nvidia/x:1", ImageKind.REGISTRY, "nvcr.io#nvidia/x:1", "docker://nvcr.io/nvidia/x:1"),
        ("nvcr.io#nvidia/x:1", ImageKind.REGISTRY, "nvcr.io#nvidia/x:1", "docker://nvcr.io/nvidia/x:1"),
        ("localhost:5000/x", ImageKind.REGISTRY, "localhost:5000#x", "docker://localhost:5000/x"),
        ("rayproject/ray:2.55", ImageKind.REGISTRY, "rayproject/ray:2.55", "docker://rayproject/ray:2.55"),
        ("oras://r.io/x:1", ImageKind.REGISTRY, "oras://r.io/x:1", "oras://r.io/x:1"),
    ],
)
def test_names_of_registries(image: str, kind: ImageKind, enroot: str, docker: str) -> None:
    assert images.kind_of(image) is kind
    if not image.startswith("oras"):
        assert images.enroot_uri(image) == enroot
    assert images.docker_uri(image) == docker


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("a.sif", ImageKind.SIF),
        ("/i/a.SQSH", ImageKind.SQUASHFS),
        ("./root", ImageKind.FOLDER),
        ("~/r", ImageKind.FOLDER),
    ],
)
def test_files_and_folders(image: str, kind: ImageKind) -> None:
    assert images.kind_of(image) is kind
