"""Station 4, bands and numbers: scaled once for all images. Read data/bands.py, data/scaling.py.

Words. A satellite image has *bands*: blue, red, near infrared (NIR), ... Their numbers are
*reflectances*, the share of the light that the ground sends back, often times 10,000 as uint16. A
*spectral index* contrasts two bands: NDVI = (NIR - Red) / (NIR + Red) is high for plants. Networks
learn best from numbers near 0 to 1, so each band is *scaled*: x' = (x - low) / (high - low), where
low and high are percentiles of the training pixels. The 1st percentile is the number below which
1 % of the pixels lie (numpy.percentile). Pixels without data must count in no percentile. They are
NaN, or have the value that the file declares as no-data.

Task. Write the four functions. The last one shows what goes wrong when each image is scaled by
itself: a network that learned "water is below 0.1" meets a scene without water.
"""


def normalized_difference(a, b):
    """Return (a - b) / (a + b) for each pixel, 0 where a + b is 0.

    Args:
        a, b: (H, W) arrays, often uint16. In uint16, 1 - 2 is 65535, and 40000 + 40000 is 14464.

    Returns:
        (H, W) float32 or float64, without NaN.
    """
    raise NotImplementedError


def fit(band, nodata):
    """Return (low, high), the 1st and the 99th percentile of the pixels with data.

    Args:
        band: (H, W) float32. NaN and `nodata` are pixels without data.
        nodata: the declared value, or None.
    """
    raise NotImplementedError


def scale(band, limits, nodata):
    """Return (band - low) / (high - low), clipped to -1..2, and 0 for pixels without data.

    Args:
        band: (H, W) float32. It must not be changed.
        limits: (low, high).
        nodata: the declared value, or None.
    """
    raise NotImplementedError


def scaled_three_times(value, first, second):
    """Scale one reflectance as three networks would see it. Use `fit` and no clipping.

    Args:
        value: a reflectance, for example that of water.
        first, second: (H, W) bands of two images.

    Returns:
        (a, b, c): a with the limits of the first image alone, b with those of the second image
        alone, c with limits fitted once to the pixels of both images together.
    """
    raise NotImplementedError
