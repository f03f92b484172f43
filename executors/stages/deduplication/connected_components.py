"""Connected components of a graph that is given as pairs of numbers, with numpy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.int64]


def components(left: Ids, right: Ids) -> tuple[Ids, Ids]:
    """(ids, roots): every id that occurs, ascending, and the least id that it is connected with.

    Rounds of hooking and pointer jumping: each halves the number of trees that are still to be joined, or better.
    """
    import numpy as np

    ids, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    first, second = places[: len(left)], places[len(left) :]
    parents = np.arange(len(ids))
    while len(first):
        # Parents are never greater than their children, so there are no circles.
        np.minimum.at(parents, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(above := parents[parents], parents):
            parents = above
        first, second = parents[first], parents[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return ids, ids[parents]


def spanning_forest(left: Ids, right: Ids) -> tuple[Ids, Ids]:
    """Pairs that connect the same ids, one less than ids in each component: (root, id) for all ids but roots."""
    ids, roots = components(left, right)
    others = ids != roots
    return roots[others], ids[others]
