"""Letters for the legend and the titles of a picture, without a font file: five columns of eight
dots each.

A column is a byte. Its lowest bit is the top dot. The eighth row holds the tails of g, j, p, q and
y. The digit 4 has the bytes 18 14 12 7F 10:

    . . . # .
    . . # # .
    . # . # .
    # . . # .
    # # # # #
    . . . # .
    . . . # .

Read beside it: tests/data/output/test_preview.py.
"""

import unicodedata

import numpy as np

FIRST = " "  # the first letter; the others follow in the order of ASCII, up to ~
COLUMNS = bytes.fromhex(
    """
    0000000000 00005F0000 0003000300 147F147F14 242A7F2A12 2313086462 3649562050 0000030000
    001C224100 0041221C00 2A1C3E1C2A 08083E0808 0080600000 0808080808 0000600000 2010080402
    3E5149453E 00427F4000 6251494946 2241494936 1814127F10 2745454539 3C4A494930 0171090503
    3649494936 064949291E 0000240000 0080640000 0814224100 1414141414 0041221408 0201590906
    3E415D551E 7E0909097E 7F49494936 3E41414122 7F4141413E 7F49494941 7F09090901 3E41495978
    7F0808087F 00417F4100 2040413F01 7F08142241 7F40404040 7F020C027F 7F0408107F 3E4141413E
    7F09090906 3E4151215E 7F09192946 2649494932 01017F0101 3F4040403F 1F2040201F 3F4038403F
    6314081463 0304780403 6151494543 00007F4100 0204081020 00417F0000 0402010204 8080808080
    0001020000 2054545478 7F48444438 3844444428 384444487F 3854545418 00087E0902 18A4A4A47C
    7F08040478 00447D4000 0080847D00 7F10284400 00417F4000 7C04780478 7C08040478 3844444438
    FC24242418 18242424FC 7C08040408 4854545424 00043F4424 3C4040207C 1C2040201C 3C4030403C
    4428102844 1CA0A0A07C 4464544C44 0008364100 0000770000 0041360800 0804080408
    """
)
GLYPHS = np.frombuffer(COLUMNS, np.uint8).reshape(-1, 5)  # (letters, columns)
LONGEST = 560  # pixels of a name
HEIGHT, GAP, SPACE = 8, 1, 3  # in dots: height of a line, gap between letters, width of a space


def write(text: str, scale: int = 2) -> np.ndarray:
    """Draw a text in one line.

    Args:
        text: The text. Accents are left out. Other letters outside ASCII become question marks.
        scale: Pixels along the side of a dot.

    Returns:
        (8 * scale, width) bool, True for ink.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    columns = [np.zeros((HEIGHT, 0), bool)]
    for letter in plain:
        columns += [_dots(letter), np.zeros((HEIGHT, GAP), bool)]
    return np.concatenate(columns, axis=1).repeat(scale, 0).repeat(scale, 1)


def fitted(text: str, width: int = LONGEST) -> str:
    """Leave out the middle of a text that is wider than `width` pixels."""
    shown, half = text, min(len(text), width // 4) // 2  # a letter has at least 4 pixels
    while half > 1 and write(shown).shape[1] > width:
        half -= 1
        shown = f"{text[:half]}...{text[-half:]}"
    return shown


def wrapped(text: str, width: int, most: int = 3) -> list[str]:
    """Break a text into lines of at most `width` pixels.

    Args:
        text: The text.
        width: Width in pixels. The middle of a longer word is left out.
        most: The largest number of lines. The middle of a longer last line is left out.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and write(longer).shape[1] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if lines[most:]:
        lines[most - 1 :] = [" ".join(lines[most - 1 :])]
    return [fitted(line, width) for line in lines]


def _dots(letter: str) -> np.ndarray:
    """Return the dots of a letter (8, width) bool, without the empty columns beside them."""
    number = ord(letter) - ord(FIRST)
    if not 0 <= number < len(GLYPHS):
        number = ord("?") - ord(FIRST)
    dots = np.unpackbits(GLYPHS[number][:, None], axis=1, bitorder="little").T.astype(bool)
    used = np.flatnonzero(dots.any(0))
    return dots[:, used[0] : used[-1] + 1] if used.size else np.zeros((HEIGHT, SPACE), bool)
