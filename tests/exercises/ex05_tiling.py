"""Station 5, windows and seams: make seams appear, and disappear. Read data/tiling.py first.

Words. A scene of 10,000 x 10,000 pixels does not fit into a network at once. It is cut into
*windows*, each is predicted, and the predictions are put together. A network sees zeros beyond the
rim of a window (*padding*), so its predictions near the rim are wrong, and the map shows *seams*.
Therefore windows overlap, and each prediction p_i has a weight w_i that is 0 near the rim:

    p(pixel) = sum over windows of w_i(pixel) p_i(pixel) / sum over windows of w_i(pixel)

The *radius* of a network is the largest distance between an input pixel and an output pixel that
depends on it. A prediction less than this distance from the rim is wrong.

All of it is shown along one axis here. Task. Write the three functions.
"""


def weight(size, overlap, ramp):
    """Return the weight (size,) of each pixel of a window.

    Counted from the nearer rim, with the pixel's centre at +0.5: it is 0 up to a distance of
    (overlap - ramp) / 2, then rises in a straight line to 1 over `ramp` pixels, and stays 1. So the
    weights of two neighbours that share `overlap` pixels add up to 1.
    """
    raise NotImplementedError


def blend(predictions, starts, length, weights):
    """Return the blended predictions (length,) of a scene.

    Args:
        predictions: a list of (size,) arrays, one for each window.
        starts: the first pixel of each window in the scene, all inside the scene.
        length: pixels of the scene.
        weights: (size,) weight of each pixel of a window, the same for all windows.

    Returns:
        (length,) float64; NaN where all weights are 0.
    """
    raise NotImplementedError


def least_overlap(radius, ramp):
    """Return the smallest overlap with which no wrong prediction has a weight above 0.

    One pixel more is accepted, too: data/tiling.py counts from the rim of a pixel.

    Args:
        radius: of the network, in pixels.
        ramp: pixels over which the weight rises, as in `weight`.
    """
    raise NotImplementedError
