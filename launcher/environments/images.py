"""What an image is, by its name, and how each runtime spells it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath


class ImageKind(StrEnum):
    """The forms of images."""

    SIF = "a SIF file"
    SQUASHFS = "a SquashFS file"
    FOLDER = "a folder"
    REGISTRY = "an image of a registry"


_SUFFIXES = {
    ".sif": ImageKind.SIF,
    ".simg": ImageKind.SIF,
    ".sqsh": ImageKind.SQUASHFS,
    ".squashfs": ImageKind.SQUASHFS,
}
_SCHEME = "docker://"


def kind_of(image: str) -> ImageKind:
    """What an image is; of a path, by its suffix."""
    if not is_path(image):
        return ImageKind.REGISTRY
    return _SUFFIXES.get(PurePosixPath(image).suffix.lower(), ImageKind.FOLDER)


def is_path(image: str) -> bool:
    """Whether it names something on storage."""
    return image.startswith(("/", "./", "../", "~", "$")) or PurePosixPath(image).suffix.lower() in _SUFFIXES


def reference(image: str) -> str:
    """A name in a registry without a scheme: nvcr.io/nvidia/pytorch:25.01."""
    return image.removeprefix(_SCHEME).replace("#", "/", 1)


def docker_uri(image: str) -> str:
    """As apptainer and singularity want it; other schemes, such as oras://, stay."""
    return image if "://" in image and not image.startswith(_SCHEME) else f"{_SCHEME}{reference(image)}"


def enroot_uri(image: str) -> str:
    """As pyxis and enroot want it: # stands behind the registry."""
    name = image.removeprefix(_SCHEME)
    first, slash, rest = name.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return f"{first}#{rest}" if has_registry and "#" not in first else name
