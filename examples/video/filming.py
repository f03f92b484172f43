"""Films made of nothing, in place of a download: scenes that move or stand still, and files that are broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curator_slurm.executors import EmptyTask, FileGroupTask, ProcessingStage

WIDTH, HEIGHT, RATE = 320, 240, 24
SCENES = ("moving", "still", "moving", "black")
"""Of every good film."""
SCENE_S = 1.5
BROKEN = {3: "truncated", 7: "a text", 11: "empty"}
"""Number of a film, of each twelve -> what is wrong with it."""

Picture = npt.NDArray[np.uint8]


class Films(ProcessingStage[EmptyTask, FileGroupTask]):
    """Writes films to files, a task for each; without the broken ones, if so asked."""

    name = "films"

    def __init__(self, films: int, folder: str, broken: bool = True) -> None:
        self.numbers = [number for number in range(films) if broken or kind_of(number) == "good"]
        self.folder = folder

    def process(self, _: EmptyTask) -> list[FileGroupTask]:
        return [FileGroupTask("films", [str(film(number, Path(self.folder)))]) for number in self.numbers]


def kind_of(number: int) -> str:
    """What is wrong with a film, or `good`."""
    return BROKEN.get(number % 12, "good")


def film(number: int, folder: Path) -> Path:
    """Write the film with this number; the same number gives the same pictures."""
    import av

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"film-{number:03}.mp4"
    kind = kind_of(number)
    if kind in ("a text", "empty"):
        path.write_text("This is a text, whatever its name says.\n" if kind == "a text" else "")
        return path
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures(number):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def pictures(number: int) -> Iterator[Picture]:
    """All frames of a good film."""
    for position, scene in enumerate(SCENES):
        world = _world(number * len(SCENES) + position)
        for frame in range(int(SCENE_S * RATE)):
            shift = 3 * frame if scene == "moving" else 0
            shown = world[:, shift : shift + WIDTH]
            yield np.zeros_like(shown) if scene == "black" else np.ascontiguousarray(shown)


def _world(seed: int) -> Picture:
    """A wide picture of squares of colour that a camera can pan over, no two alike."""
    chance = np.random.default_rng(seed)
    patches = chance.integers(0, 256, (HEIGHT // 16, 2 * WIDTH // 16, 3), dtype=np.uint8)
    return np.kron(patches, np.ones((16, 16, 1), np.uint8))
