"""What an image looks like in numbers: how sharp it is, and a hash that copies of a picture share."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from PIL import Image

from curator_slurm.executors.stages.deduplication.connected_components import spanning_forest

_SIDE = 32


def sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian: near 0 where there is no edge."""
    grey = np.asarray(image.convert("L"), float)
    laplacian = -4 * grey[1:-1, 1:-1] + grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(laplacian.var()) if laplacian.size else 0.0


def perceptual_hash(image: Image.Image) -> int:
    """64 bits: which of the 8 x 8 lowest frequencies (the constant one aside) are above their median."""
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), float)
    waves = np.cos(np.pi / _SIDE * np.outer(np.arange(9), np.arange(_SIDE) + 0.5))
    low = (waves @ grey @ waves.T).ravel()[1:65]
    return sum(1 << int(bit) for bit in np.flatnonzero(low > np.median(low)))


def copies(hashes: npt.NDArray[np.uint64], max_distance: int) -> npt.NDArray[np.int64]:
    """Positions of images that are copies of an earlier one: their hashes differ in at most so many bits.

    Two hashes that differ in at most n bits agree in one of n + 1 parts, so only those that do are compared.
    """
    left, right = [], []
    bounds = np.linspace(0, 64, max_distance + 2).astype(int)
    for start, stop in itertools.pairwise(bounds.tolist()):
        part = (hashes >> np.uint64(start)) & np.uint64((1 << (stop - start)) - 1)
        order = np.argsort(part, kind="stable")
        edges = np.flatnonzero(np.diff(part[order])) + 1
        for bucket in np.split(order, edges):
            for position, one in enumerate(bucket[:-1]):
                others = bucket[position + 1 :]
                near = others[np.bitwise_count(hashes[others] ^ hashes[one]) <= max_distance]
                left += [one] * len(near)
                right += near.tolist()
    _, later = spanning_forest(np.array(left, np.int64), np.array(right, np.int64))
    return later
