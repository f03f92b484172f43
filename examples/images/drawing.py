"""Images made of nothing: one in ten is tiny, one blurred, one a copy of another, and one in twenty-five broken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 160


def kind_of(number: int) -> str:
    """What the image with this number is."""
    if number % 25 == 24:
        return "broken"
    return {7: "copy", 8: "tiny", 9: "blurred"}.get(number % 10, "good")


def draw(number: int, folder: Path) -> Path:
    """Write the image; a `.jpg` where it is a copy, else a `.png`. The same number gives the same picture."""
    kind = kind_of(number)
    if kind == "copy":
        return _write(folder / f"{number:06}.jpg", _copy_of(number - 7))
    if kind == "tiny":
        image = _picture(number).resize((24, 24))
    elif kind == "blurred":
        image = _picture(number, texture=0.0).resize((6, 6)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    else:
        image = _picture(number)
    content = _encoded(image, "PNG")
    return _write(folder / f"{number:06}.png", content[: len(content) // 3] if kind == "broken" else content)


def _copy_of(number: int) -> bytes:
    """Another picture as somebody has passed it on: smaller, and compressed with loss."""
    image = _picture(number)
    return _encoded(image.resize((image.width * 3 // 4, image.height * 3 // 4)), "JPEG", quality=60)


def _picture(number: int, texture: float = 25.0) -> Image.Image:
    """Soft patches of colour, no two alike, under a fine grain."""
    chance = np.random.default_rng(number)
    patches = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    grain = chance.normal(0, texture, (SIDE, SIDE, 1)) if texture else 0.0
    return Image.fromarray(np.clip(np.asarray(patches, float) + grain, 0, 255).astype(np.uint8))


def _encoded(image: Image.Image, name: str, **options: int) -> bytes:
    sink = io.BytesIO()
    image.save(sink, name, **options)
    return sink.getvalue()


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
