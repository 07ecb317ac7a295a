"""Station 9, the training loop: one step, and a split that does not flatter. Read train.py, and
data/training/split.py.

Words. A *batch* is a few windows at a time. One *step* of training is: the *forward pass* computes
logits and the loss; the *backward pass* (loss.backward()) adds to .grad of each weight the slope of
the loss; the *optimizer* changes each weight a little against its slope (optimizer.step()). Slopes
add up over backward passes until optimizer.zero_grad() clears them. So several small batches can
make one step of a large batch that does not fit in memory.

*Validation* measures the network on windows that it was not trained on. Windows lie on the ground,
and neighbours look alike. A random split puts a window's neighbours into the training: the network
knows the place by heart, and the score flatters. The *leak* is closed by holding out whole places.
train.py is less strict by default: it holds out blocks of windows, and leaves out training windows
that overlap them, but not those that touch. `--places` holds out whole places.

Task. Write the three functions.
"""


def step(model, optimizer, loss_function, batches):
    """Change the weights once, as if all batches were one.

    The loss function returns the mean over the windows of a batch. The batches may differ in size,
    so each loss counts in proportion to its number of windows.

    Args:
        model: a torch.nn.Module, called as model(images).
        optimizer: a torch.optim.Optimizer of its weights. The weights may still hold
            the .grad of earlier steps.
        loss_function: (logits, targets) -> loss.
        batches: a list of pairs (images (n, C, H, W), targets (n, H, W)).

    Returns:
        The mean loss over all windows, a float.
    """
    raise NotImplementedError


def leaks(boxes, validation):
    """Return the numbers of the validation windows that touch or overlap a training window.

    Args:
        boxes: a list of (place, row, col, size): the place, the first row and column of the window
            in it, and its side in pixels. Different places are far from each other. Windows whose
            sides or corners meet touch.
        validation: a list of bool, true for validation windows. All others are training windows.

    Returns:
        A sorted list of numbers from 0.
    """
    raise NotImplementedError


def split(boxes, share, seed):
    """Divide windows into training and validation without a leak: hold out whole places.

    Args:
        boxes: as in `leaks`.
        share: which part of the windows to hold out, about. The check allows 10 percentage points.
        seed: decides which places (random.Random(seed) or numpy.random.default_rng(seed)). Another
            seed holds out others.

    Returns:
        A list of bool, true for validation windows.
    """
    raise NotImplementedError
