r"""Names of files, classes and bands are data: no terminal, page or table must obey them.

A name may come from a stranger's file, and may hold any character. The control character ESC begins
the commands of a terminal. XML cannot hold it at all. A spreadsheet computes a cell that begins
with `=`. So control characters are written as `\x1b`, and such a cell gets an apostrophe.

Read beside it: tests/data/test_names.py.
"""

import re

# Control characters, line separators, marks that reverse the order of the letters that follow,
# halves of surrogate pairs, and two code points that are no characters.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
BYTES = "".join(map(chr, range(0xDC80, 0xDD00)))  # what Python makes of bytes that are no UTF-8
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # a spreadsheet computes what begins so


def printable(text: object, keep: str = "") -> str:
    r"""Return a text in which control characters are escaped. Applied twice, it changes nothing.

    Args:
        text: The text, or what has one, such as a path.
        keep: Control characters that stay as they are.

    >>> print(printable("a\x1b[2J\n\udcff.tif"))
    a\x1b[2J\n\xff.tif
    """

    def escaped(match: re.Match) -> str:
        character = match[0]
        if character in keep:
            return character
        if character in BYTES:
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character.encode("unicode_escape").decode()

    return CONTROL.sub(escaped, str(text))


def cell(value: object) -> object:
    """Return a value for a cell of a table. A text that a spreadsheet computes gets an apostrophe.

    A number stays a number, also as a text.

    >>> cell("=1+1"), cell("-0.5"), cell(-0.5), cell("water")
    ("'=1+1", '-0.5', -0.5, 'water')
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
        return value
    except ValueError:
        return f"'{value}"
