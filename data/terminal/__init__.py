"""The terminal: printed lines, options, errors and signals of the scripts."""

from data.files import command
from data.terminal.lines import Notes, duration, grouped, listed, note, progress, say
from data.terminal.options import Parser, Repeated, vote_weights, within
from data.terminal.signals import (
    Interrupted,
    Signals,
    of_memory,
    one_line_errors,
    say_error,
)

__all__ = [
    "Interrupted",
    "Notes",
    "Parser",
    "Repeated",
    "Signals",
    "command",
    "duration",
    "grouped",
    "listed",
    "note",
    "of_memory",
    "one_line_errors",
    "progress",
    "say",
    "say_error",
    "vote_weights",
    "within",
]
