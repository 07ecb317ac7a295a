"""Shell commands that a program prints for the user to copy.

A command runs from the folder in which the program was started. Its words are quoted for the shell.

Read beside it: tests/data/test_commands.py.
"""

import os
import shlex
import sys
from pathlib import Path

from data.files.names import BYTES, CONTROL

ROOT = Path(__file__).parents[2]


def command(script: str, *arguments: object) -> str:
    """Return the shell command that runs a script of this project from the current folder.

    Args:
        script: A file such as "predict.py". It is named as the running script was, so that
            `python ../train.py` leads to `python ../predict.py`. If it is the running script
            itself, and torchrun started that, the command starts as many processes.
        arguments: The words that follow. A Path that begins with "-" would be an option, so it is
            written as ./-name.
    """
    own, words = Path(sys.argv[0]), [_from_here(sys.executable)]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if own.name == script and processes > 1:
        words += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    beside = own.parent / script
    called = beside.is_file() and beside.resolve() == (ROOT / script).resolve()
    words.append(str(beside) if called else _from_here(ROOT / script))
    for word in arguments:
        path = isinstance(word, Path) and str(word).startswith("-")
        words.append(f"./{word}" if path else str(word))
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    r"""Quote a word for the shell. Control characters are escaped as bash and zsh read them.

    >>> print(quoted("a b.tif"), quoted("it's"), quoted("a\nb"))
    'a b.tif' 'it'"'"'s' $'a\x0ab'
    """
    if not CONTROL.search(word):
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    r"""Escape a character between $' and '. CONTROL has none beyond U+FFFF."""
    if character in BYTES:
        return f"\\x{ord(character) - 0xDC00:02x}"
    if CONTROL.match(character):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
    return f"\\{character}" if character in "\\'" else character


def _from_here(path: str | Path) -> str:
    """Return a path relative to the current folder if it is inside, such as .venv/bin/python."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
