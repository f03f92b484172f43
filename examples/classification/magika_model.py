"""The model that the package magika ships: which of some 200 content types a file has, told by its first and last
bytes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

BLOCK = 4096
"""Bytes at each end that are looked at; white space before and after does not count."""
SHORTEST = 8
"""Bytes that a file must have."""
_TAKEN, _PADDING = 1024, 256

Features = npt.NDArray[np.int32]


def folder() -> Path:
    """Where the newest model lies; the package's own class is not loaded, since it runs on CPUs only."""
    import importlib.util

    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("this example needs magika: pip install magika")
    models = sorted(Path(spec.origin).parent.glob("models/standard_v*/model.onnx"))
    if not models:
        raise FileNotFoundError(f"no model in {Path(spec.origin).parent}/models")
    return models[-1].parent


def features(first: bytes, last: bytes) -> Features:
    """What the model takes, from the first and last `BLOCK` bytes of a file."""
    begin, end = first.lstrip(), last.rstrip()
    row = np.full(2 * _TAKEN, _PADDING, np.int32)
    head = np.frombuffer(begin[:_TAKEN], np.uint8)
    tail = np.frombuffer(end[-_TAKEN:], np.uint8)
    row[: len(head)] = head
    row[len(row) - len(tail) :] = tail
    return row


class Model:
    """The model in memory: on a GPU where onnxruntime can use one and it is wanted, else on CPUs."""

    def __init__(self, gpu: bool, threads: int) -> None:
        import onnxruntime

        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if gpu else ["CPUExecutionProvider"]
        found = onnxruntime.get_available_providers()
        if wanted[0] not in found:
            log.warning("this onnxruntime cannot use a GPU (onnxruntime-gpu can); the model runs on CPUs")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        place = folder()
        self.session: Any = onnxruntime.InferenceSession(
            place / "model.onnx", options, providers=[name for name in wanted if name in found]
        )
        self.labels: list[str] = json.loads((place / "config.min.json").read_text())["target_labels_space"]

    def classify(self, rows: Features) -> list[tuple[str, float]]:
        """Content type and score of each row of features."""
        (scores,) = self.session.run(None, {self.session.get_inputs()[0].name: rows})
        best = scores.argmax(axis=1)
        return [(self.labels[index], float(score)) for index, score in zip(best, scores.max(axis=1), strict=True)]
