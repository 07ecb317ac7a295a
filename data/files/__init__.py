"""What all packages share: errors for the user, files that are written whole or not at all, the
version, and the label IGNORE.
"""

from data.files.errors import InputError, naming, refuse_input, require_file
from data.files.git_version import VERSION, version
from data.files.writing import folder_for, lock, replacing, replacing_folder, write_csv

IGNORE = 255  # label of a pixel without a class; statistics, losses and metrics leave it out

__all__ = [
    "IGNORE",
    "VERSION",
    "InputError",
    "folder_for",
    "lock",
    "naming",
    "refuse_input",
    "replacing",
    "replacing_folder",
    "require_file",
    "version",
    "write_csv",
]
