"""What all packages share: errors for the user, files that are written whole or not at all, names
that are data, the end by a signal, the version, and the label IGNORE.
"""

from data.files.commands import ROOT, command
from data.files.errors import (
    InputError,
    WrongTable,
    message_of,
    naming,
    one_line,
    read_bytes,
    refuse_input,
    require_file,
)
from data.files.git_version import VERSION, version
from data.files.interrupts import Interrupted, stopping
from data.files.names import BYTES, CONTROL, printable
from data.files.streams import put, put_error, usable_streams
from data.files.writing import (
    folder_for,
    is_locked,
    lock,
    naming_full_disk,
    replacing,
    replacing_folder,
    write_csv,
)

IGNORE = 255  # label of a pixel without a class; statistics, losses and metrics leave it out

__all__ = [
    "BYTES",
    "CONTROL",
    "IGNORE",
    "ROOT",
    "VERSION",
    "InputError",
    "WrongTable",
    "Interrupted",
    "command",
    "folder_for",
    "is_locked",
    "lock",
    "message_of",
    "naming",
    "naming_full_disk",
    "one_line",
    "read_bytes",
    "printable",
    "put",
    "put_error",
    "refuse_input",
    "replacing",
    "replacing_folder",
    "require_file",
    "usable_streams",
    "stopping",
    "version",
    "write_csv",
]
