"""Station 3, codes and labels: no code may vanish silently. Read data/classes.py first.

Words. A mask holds *codes*, which its maker chose: the European Settlement Map has 1 for open land,
250 for other buildings and 255 for houses. A network needs *labels*: 0, 1, 2, ... without gaps,
because its output has one channel for each class. The label 255 (IGNORE) marks pixels without a
class: the loss and all scores leave them out. A file may *declare* one value as no-data.

The trap: an array that is filled with IGNORE first, and then gets the labels of the known codes,
hides every code that the table lacks. A network would be trained on half a map, and nobody told.

Task. Write both functions.
"""

IGNORE = 255


def encode(raster, table, nodata=None):
    """Convert codes to labels.

    Args:
        raster: (H, W) uint8 codes.
        table: {code: label}. A code of the table counts, even if it is also declared as no-data.
        nodata: the declared value, or None. It becomes IGNORE, if the table lacks it.

    Returns:
        (H, W) uint8 labels.

    Raises:
        ValueError: the raster has codes that are neither in the table nor declared. The message
            names each of them with its number of pixels, for example "code 7 (12 pixels)".
    """
    raise NotImplementedError


def free_code(table):
    """Return the smallest code from 0 to 255 that a map can use for no-data.

    If a map used the code of a class, pixels without data would be read back as that class. All
    codes of the table here are those of classes.
    """
    raise NotImplementedError
