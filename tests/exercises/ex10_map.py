"""Station 10, the map: from probabilities to an area with its error. Read predict.py, and
unet/evaluation/area_estimation.py.

Words. The network gives each pixel a probability of each class. The map shows the most probable
class. Pixels without data have no class: their label is 255 (IGNORE). The area of a class is what
most maps are made for, and pixels differ in area (station 1). It can be *counted*: the area of the
pixels that the map shows as the class. It can also be *expected*: each pixel gives each class the
part of its area that is the probability of the class. If both differ much, the map is unsure.

Neither tells the error. A *sample* does: random pixels of this map with known truth (station 8):
n_i of its pixels lie where the map has class i, of which the share r_ij is truly class j. The
corrected share c_j = sum over i of mapped_i r_ij has the standard error (Olofsson and others 2014,
equation 10)

    S_j = sqrt( sum over i of  mapped_i^2  r_ij (1 - r_ij) / (n_i - 1) )

and in about 95 of 100 large samples the truth lies within c_j - 1.96 S_j and c_j + 1.96 S_j. This
holds for pixels drawn one by one. Neighbours in a window share their errors, and the true error is
larger: this package therefore resamples whole windows and places.

Task. Write the three functions.
"""


def labels_of(probabilities, valid):
    """Return the labels (H, W) uint8 of a map.

    Args:
        probabilities: (K, H, W), which sum to 1 in each pixel.
        valid: (H, W) bool, false for pixels without data.
    """
    raise NotImplementedError


def areas(probabilities, valid, pixel_areas):
    """Return the counted and the expected area of each class in km2, two arrays (K,).

    Args:
        probabilities, valid: as in `labels_of`.
        pixel_areas: (H, W) area of each pixel in m2.
    """
    raise NotImplementedError


def standard_error(matrix, mapped):
    """Return the standard errors S (K,) of the corrected shares.

    Each class of the map has two pixels of the sample or more.

    Args:
        matrix: (K, K) of the sample, rows truth, columns prediction (the map).
        mapped: (K,) share of each class in the area of the whole map.
    """
    raise NotImplementedError
