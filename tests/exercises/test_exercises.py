"""The exercises themselves: what a reader finds, what `make exercises` shows, and that the checks
refuse wrong answers. tests/exercises/test_ex*.py try the solved set.
"""

import ast
import inspect
import re
from pathlib import Path

import answers
import pytest
import show
import wrong
from answers import HERE, NOT_YET, SOLVED, STATIONS, Result

ROOT = HERE.parents[1]


def functions(path: Path) -> dict[str, list[str]]:
    """The public functions of a file, and the names of their arguments."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    found = [node for node in body if isinstance(node, ast.FunctionDef)]
    return {f.name: [a.arg for a in f.args.args] for f in found if not f.name.startswith("_")}


@pytest.mark.parametrize("name", STATIONS)
def test_the_file_of_the_reader_has_the_functions_of_the_solved_one(name):
    own = functions(HERE / f"{name}.py")
    solved = functions(HERE / "solved" / f"{name}.py")
    assert solved and own.items() >= solved.items()


@pytest.mark.parametrize("name", STATIONS)
def test_the_file_of_the_reader_names_its_lesson_and_describes_each_function(name):
    tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    station, lesson = STATIONS[name]
    about = ast.get_docstring(tree)
    assert lesson in about and "Words." in about and "Task." in about
    assert (ROOT / lesson).is_file()
    number = list(STATIONS).index(name) + 1
    assert about.startswith(f"Station {number}, ") and station.split()[-1] in about
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            assert len(ast.get_docstring(node) or "") > 60, node.name


@pytest.mark.parametrize("name", STATIONS)
def test_each_function_is_asked_for_by_a_check_and_has_a_wrong_answer(name):
    asked = "".join(inspect.getsource(check) for check in answers.checks(name).values())
    asked += (HERE / f"test_{name}.py").read_text(encoding="utf-8")
    mistaken = {function for exercise, function, *_ in wrong.WRONG if exercise == name}
    for function in functions(HERE / "solved" / f"{name}.py"):
        assert f"ex.{function}(" in asked and function in mistaken, function


@pytest.mark.parametrize(
    ("name", "function", "answer", "pattern"),
    wrong.WRONG,
    ids=[f"{name}-{function}-{n}" for n, (name, function, *_) in enumerate(wrong.WRONG)],
)
def test_a_wrong_answer_is_refused_in_one_line(name, function, answer, pattern):
    path = HERE / "solved" / f"{name}.py"
    module = answers.load(path)
    setattr(module, function, answer)
    result = answers.attempt_module(name, module, path)
    assert result.state == answers.WRONG and result.right < result.checks
    assert re.search(pattern, result.text), result.text
    assert "\n" not in show.line(1, name, result).split("\n", 1)[1]


def test_what_is_not_written_yet_is_no_mistake(tmp_path):
    path = tmp_path / "ex08_metrics.py"
    text = (HERE / "solved" / path.name).read_text(encoding="utf-8")
    path.write_text(text + "\n\ndef who_pays(matrix):\n    raise NotImplementedError\n")
    assert answers.attempt("ex08_metrics", path) == Result(NOT_YET, 3, 4, "")
    path.write_text(text)
    assert answers.attempt("ex08_metrics", path) == Result(SOLVED, 4, 4, "")


def test_errors_of_the_reader_name_the_line(tmp_path):
    path = tmp_path / "ex08_metrics.py"
    path.write_text("def macro_dice(matrix):\n    return matrix.dice\n")
    result = answers.attempt("ex08_metrics", path)
    assert result.state == answers.WRONG and "Traceback" in result.details
    assert result.text.startswith("ex08_metrics.py, line 2: AttributeError: ")
    path.write_text("def macro_dice(matrix)\n    return 1\n")
    assert answers.attempt("ex08_metrics", path).text.startswith(
        "ex08_metrics.py, line 1: expected"
    )
    path.write_text("def macro_dice(matrix):\n    ...\n")  # Python returns None
    assert answers.attempt("ex08_metrics", path).text == "macro Dice: returns None"


def test_the_table_has_a_line_for_each_exercise(capsys, monkeypatch, tmp_path):
    states = [SOLVED, NOT_YET, answers.WRONG]

    def attempt(name: str, path: Path) -> Result:
        assert path == HERE / f"{name}.py"
        state = states[list(STATIONS).index(name) % 3]
        return Result(state, 1, 2, "what differs" * (state == answers.WRONG), "Traceback ...")

    monkeypatch.setattr(show, "attempt", attempt)
    show.main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == "1 the grid solved 1/2 tests/exercises/ex01_grid.py".split()
    assert lines[2].split()[:6] == "2 two grids meet not yet".split()
    assert lines[4] == "      what differs" and len(lines) == 1 + 10 + 3 + 1
    assert lines[-1].startswith("4 of 10 solved. Read a file, write its functions")
    show.main(["3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[-1] == "Traceback ..."


def test_a_number_that_is_no_exercise_is_refused(capsys):
    with pytest.raises(SystemExit):
        show.main(["11"])
    assert "there is no exercise 11; they are 1 to 10" in capsys.readouterr().err


def test_the_readme_names_each_exercise_beside_its_lesson():
    rows = [
        line.split("|")[1:-1]
        for line in (HERE / "README.md").read_text(encoding="utf-8").splitlines()
        if "`ex" in line
    ]
    assert [row[1].strip(" `") for row in rows] == [f"{name}.py" for name in STATIONS]
    for number, row, (_, lesson) in zip(range(1, 11), rows, STATIONS.values()):
        assert int(row[0]) == number and f"`{lesson}`" in row[2]
