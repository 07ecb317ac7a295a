"""Station 7, losses: Tversky, of which Dice is a special case. Read unet/losses.py first.

Words. A *loss* is the number that training makes small. *Logits* are the network's raw scores, one
channel for each class; softmax turns them into probabilities p that sum to 1 in each pixel. For one
class k, with t = 1 in the pixels whose true class is k and t = 0 in the others, sums over pixels
of p and t are soft counts:

    TP = sum of p t             found (true positives)
    FP = sum of p (1 - t)       false alarms
    FN = sum of (1 - p) t       missed

    Tversky = 1 - TP / (TP + alpha FP + beta FN)

The loss is the mean over the classes (Salehi, Erdogmus, Gholipour 2017,
https://arxiv.org/abs/1706.05721). With beta above alpha, a missed pixel costs more than a false
alarm, which helps a rare class. Pixels with the label 255 have no class and count nowhere.

Task. Write both functions. Use torch operations only, no loop over pixels, so that torch can
compute the gradient: the slope of the loss over each logit. Training moves against it.
"""


def tversky(logits, target, alpha, beta, ignore_index=255):
    """Compute the Tversky loss, for batches in which every class occurs.

    Args:
        logits: (N, K, H, W) float.
        target: (N, H, W) int64, labels 0..K-1 or ignore_index.
        alpha, beta: cost of false alarms, and of misses.

    Returns:
        A tensor with one number.
    """
    raise NotImplementedError


def alpha_beta(wanted):
    """Return (alpha, beta) for which the Tversky loss becomes something known.

    Args:
        wanted: "dice" for 1 - Dice, where Dice = 2 TP / (2 TP + FP + FN);
            "iou" for 1 - IoU, where IoU = TP / (TP + FP + FN);
            "recall" for a loss in which a missed pixel costs four times as much as a false alarm,
            and alpha + beta = 1.
    """
    raise NotImplementedError
