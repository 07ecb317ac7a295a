"""Station 8, the confusion matrix: who pays, and which averages mislead.

Read unet/metrics.py first.

Words. A *confusion matrix* counts pixels: the entry in row t and column p is the number of pixels
of true class t that the map shows as class p. The diagonal is right. From it follow

    recall_k     diagonal / row sum: the share of the true pixels of class k that the map shows
    precision_k  diagonal / column sum: the share of the map's pixels of class k that are right
    Dice_k       2 diagonal / (row sum + column sum)
    macro Dice   mean of Dice_k over the classes, without those that are 0 / 0

Task. Write the four functions.
"""


def macro_dice(matrix):
    """Return the macro Dice of a matrix (K, K), a numpy array.

    A class that neither occurs nor is predicted has 0 / 0, and is left out of the mean.
    """
    raise NotImplementedError


def who_pays(matrix):
    """Return (victim, taker): which class loses most, and which class gets its pixels.

    The victim is the class with the lowest recall. The taker is the other class that the map shows
    on most pixels of the victim.

    Args:
        matrix: (K, K), rows truth, columns prediction. Each class occurs.
    """
    raise NotImplementedError


def two_batchings(matrices):
    """Divide windows into batches in two ways, and show that a mean over batches misleads.

    A batch's matrix is the sum of the matrices of its windows. Some programs report the mean of the
    macro Dice of the batches. It depends on the batches, although the map is the same.

    Args:
        matrices: a list of matrices (2, 2), one for each window, an even number of windows.

    Returns:
        (first, second): two lists of batches. A batch is a pair (i, j) of positions in
        `matrices`, from 0. Each window is in one batch. The means of the batches' macro Dice must
        differ by at least 0.05.
    """
    raise NotImplementedError


def adjusted_shares(matrix, mapped):
    """Correct the shares of the classes in a map for the errors that a sample has shown.

    The sample must be random pixels of this map. Validation windows are not such a sample of a new
    image; the program assumes that errors are as frequent there. Olofsson and others have the map
    in rows and the truth in columns.

    If 20 % of the sampled pixels that the map shows as class i are truly class j, then so are 20 %
    of the map's area of class i. The share of class j is (Olofsson and others 2014, equation 9)

        c_j = sum over i of  mapped_i * matrix[j, i] / (sum of column i)

    Args:
        matrix: (K, K) of the sample, rows truth, columns prediction.
        mapped: (K,) share of each class in the whole map.

    Returns:
        (K,) corrected shares, which sum to 1.
    """
    raise NotImplementedError
