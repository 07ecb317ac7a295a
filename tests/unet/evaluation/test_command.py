"""Mistakes end in one line: unet/evaluation/command.py."""

import pytest

from data.files import InputError
from unet.evaluation.command import Parser, one_line_errors


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InputError("a.pt: is damaged;\n take another"), "a.pt: is damaged; take another"),
        (OSError(28, "No space left", "b.html"), "b.html: No space left"),
    ],
)
def test_a_mistake_and_a_full_disk_are_one_line_and_status_2(capfd, error, told):
    with pytest.raises(SystemExit) as ended, one_line_errors("unet.export"):
        raise error
    assert ended.value.code == 2
    assert capfd.readouterr().err == f"unet.export: error: {told}\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), one_line_errors("unet.export"):
        raise ZeroDivisionError


def test_a_wrong_option_is_an_input_error():
    with pytest.raises(InputError, match="unrecognized arguments: --no; --help lists the options"):
        Parser("x").parse_args(["--no"])
