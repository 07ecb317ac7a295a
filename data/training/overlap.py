"""Whether windows share ground: outlines that may be turned against each other.

Read beside it: tests/data/training/test_split.py.
"""

import numpy as np

ROUNDING = 1e-3  # in widths of a window; an overlap below this is a rounding error


def overlapping(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find the outlines (n, 8, 2) that share ground with the outline (8, 2).

    Two convex shapes are apart if their projections onto some line are apart. Only the lines at
    right angles to a side must be tried (separating axis theorem). Bounding boxes are not enough:
    windows in the CRS of another UTM zone are rotated, so the boxes of neighbours overlap.
    """

    def apart(outlines: np.ndarray) -> np.ndarray:
        corners = outlines[:, ::2]
        sides = np.roll(corners, -1, axis=1) - corners
        across = sides[..., ::-1] * (1, -1) / np.linalg.norm(sides, axis=2, keepdims=True)
        across = across.transpose(0, 2, 1)  # (n, 2, 4)
        a, b = one @ across, others @ across  # (n, 8, 4)
        return ((a.min(1) > b.max(1) - ROUNDING) | (a.max(1) < b.min(1) + ROUNDING)).any(1)

    return ~(apart(one[None]) | apart(others))
