"""Station 6, the U-Net: how far a pixel sees, and what a skip connection carries. Read
unet/unet.py first.

Words. A *convolution* computes each output pixel from a square of k x k input pixels (its *kernel*)
in all channels. With *stride* 2 it does so for every second pixel only, so the image shrinks to a
half. The *receptive field* of an output pixel is the square of input pixels that it depends on.
The *encoder* of a U-Net shrinks the image level by level and widens the receptive field. The
*decoder* enlarges it again, and at each level gets the features of the encoder of the same size: a
*skip connection*. Features are tensors (N, C, H, W): images, channels, rows, columns.

Task. Write the three functions.
"""


def receptive_field(layers):
    """Return the side in pixels of the receptive field of one output pixel.

    Begin with a field of 1 pixel and a step of 1 pixel, where the step is the distance in the
    input between neighbours of the current layer. A layer with kernel k adds (k - 1) * step to the
    field. A layer with stride s multiplies the step by s, for the layers behind it.

    Args:
        layers: a list of (kernel, stride), the first layer first. For example [(3, 1), (2, 2)] is a
            convolution of 3 x 3 and a pooling of 2 x 2.
    """
    raise NotImplementedError


def channels_into(base, level, skips=True):
    """Return the number of channels that enter the double convolution of a level of the decoder.

    Args:
        base: channels of the first level of the U-Net. Each deeper level has twice as many.
        level: 0 for the top of the decoder (up4), 3 for its lowest level (up1).
        skips: whether there are skip connections. If not, only the enlarged features enter.
    """
    raise NotImplementedError


def up(x, skip, enlarge, convolve):
    """Compute one level of the decoder.

    1. Enlarge x: `enlarge` doubles its height and width and halves its channels.
    2. If the skip has one more row or column (the encoder halved an odd size), append zeros below
       and on the right (torch.nn.functional.pad).
    3. Join along the channels, first the skip, then x (torch.cat).
    4. Convolve.

    Args:
        x: (N, C, h, w) features of the level below.
        skip: (N, C / 2, H, W) features of the encoder, H = 2h or 2h + 1, W = 2w or 2w + 1.
        enlarge, convolve: layers (functions of a tensor).

    Returns:
        (N, C / 2, H, W) features.
    """
    raise NotImplementedError
