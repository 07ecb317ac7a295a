"""Under pytest, the checks of the exercises try the solved set."""

import answers
import pytest


@pytest.fixture
def ex(request):
    """The solved answers to the exercise whose checks are in the test's file."""
    name = request.module.__name__.removeprefix("test_")
    return answers.load(answers.HERE / "solved" / f"{name}.py")
