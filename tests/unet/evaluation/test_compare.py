"""Comparison of runs: figures by hand, what is common and what is told, and one-line errors."""

import base64
import math
import runpy
import sys
from pathlib import Path

import finished
import pytest
from test_report import Page

from data.files import InputError
from unet import checkpoint
from unet.evaluation import compare
from unet.training import checkpoint_format

A, B = "a.tif, row 0, column 0", "b.tif, row 0, column 0"


def compared(*folders, output="page.html"):
    """Compare runs. Returns the parsed page, and its text."""
    compare.main([*map(str, folders), "-o", output])
    text = Path(output).read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    return page, text


def pictures(page):
    """Return [(caption, bytes)] of the pictures of a page."""
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    return [(one["alt"], base64.b64decode(one["src"].split(",")[1])) for one in images]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Half of the time of a load; tests/unet/training/test_checkpoint_format.py tests it.
    monkeypatch.setattr(checkpoint_format, "_check_weights", lambda state: None)


def test_scores_by_hand(capsys):
    """Macro Dice 0.5, 0.7, 0.6: highest 0.7, mean 0.6, last 0.6, best epoch 2 of 3; 3 x 10 s."""
    runs = finished.write(Path("a")), finished.write(Path("b"), (0.2, math.nan, 0.4, 0.1))
    page, _ = compared(*runs)
    parameters = page.row("a")[0][10]
    assert 1000 < int(parameters.replace(",", "")) < 10_000
    scores = ["0.7000", "0.6000", "0.4000", "0.7000", parameters]
    assert ["a", "0.7000", "0.6000", "0.6000", "3", "2", *scores, "30"] in page.rows
    # NaN is left out: (0.2 + 0.4 + 0.1) / 3.
    scores[0] = "0.4000"
    assert ["b", "0.4000", "0.2333", "0.1000", "4", "3", *scores, "40"] in page.rows
    assert "0.7000, a" in page.texts and "Comparison of 2 runs" in page.texts
    printed = "a: macro Dice 0.7000 at most, 0.6000 on average, 0.6000 at last\nb: macro Dice 0.4"
    assert capsys.readouterr().out.startswith(printed)


def test_only_settings_that_differ_are_listed():
    """Of epochs, bands, offset, seed, lr, content, loss and output, lr and loss differ.

    Run c was written by a version without the setting loss. The output always differs.
    """
    runs = [
        finished.write(Path("a"), loss="dice", lr=0.1),
        finished.write(Path("b"), loss=["<b>", "x" * 200], lr=0.1),
        finished.write(Path("c"), lr=0.2),
    ]
    page, text = compared(*runs)
    long = "<b>, " + "x" * 155 + " ..."
    assert ["setting", "a", "b", "c"] in page.rows and ["loss", "dice", long, "–"] in page.rows
    assert ["lr", "0.1", "0.1", "0.2"] in page.rows
    assert not page.row("output") and not page.row("seed") and "<b>" not in text
    assert any(one.startswith("6 other settings are equal") for one in page.texts)
    assert any("Losses of different functions" in one for one in page.texts)
    assert not any(one.startswith("The runs differ in") for one in page.texts)


def test_it_is_told_where_runs_were_validated_on_other_pixels():
    page, _ = compared(
        finished.write(Path("a"), seed=1, size=64), finished.write(Path("b"), size=128)
    )
    assert "The runs differ in seed, size." in page.texts


def test_runs_that_differ_only_in_the_seed_are_a_group():
    """Highest 0.7 and 0.5: mean 0.6. Means of the epochs 0.6 and 0.4: mean 0.5. c is alone."""
    runs = [
        finished.write(Path("a"), seed=0),
        finished.write(Path("b"), (0.3, 0.5), seed=1),
        finished.write(Path("c"), (0.9,), seed=0, loss="focal"),
    ]
    page, _ = compared(*runs)
    iou = "0.4000 (0.4000 to 0.4000)"
    ranges = ["0.6000 (0.5000 to 0.7000)", "0.5000 (0.4000 to 0.6000)", iou]
    assert ["a, b", "0, 1", *ranges] in page.rows
    assert ["c", "0", "0.9000", "0.9000", "0.4000"] in page.rows
    page, _ = compared(runs[0], runs[2])
    assert "Runs that differ only in the seed" not in page.texts


def test_bars_show_iou_and_dice_of_each_class_by_hand():
    """IoU 0.8 and 0.25 are Dice 1.6 / 1.8 and 0.5 / 1.25. NaN is a dash."""
    page, _ = compared(
        finished.write(Path("a")), finished.write(Path("b"), iou=(0.5, math.nan), samples=[])
    )
    at = [page.texts.index(title) for title in ("IoU", "Dice")]
    values = ["land", "land", "0.800", "0.500", "water", "water", "0.250", "–"]
    assert [text for text in page.texts[at[0] : at[1]] if text in values] == values
    values = ["land", "land", "0.889", "0.667", "water", "water", "0.400", "–"]
    assert [text for text in page.texts[at[1] :] if text in values][: len(values)] == values


def test_classes_that_not_all_runs_have_are_named():
    one = finished.write(Path("a"), names=["forest", "water"])
    page, _ = compared(one, finished.write(Path("b"), names=["water", "land"]))
    assert "Not in all runs: forest, land." in page.texts
    assert page.texts.count("water") == 4 and "forest" not in page.texts
    page, _ = compared(one, finished.write(Path("c"), names=["field", "road"]))
    assert "The runs have no class in common." in page.texts


def test_both_curves_have_a_line_for_each_run():
    page, _ = compared(finished.write(Path("a")), finished.write(Path("b"), (0.2, 0.3)))
    lines = [attributes["points"] for tag, attributes in page.elements if tag == "polyline"]
    assert [line.count(",") for line in lines] == [3, 2, 3, 2]


def test_epochs_after_the_best_are_those_of_last_pt(capsys):
    one, two = finished.write(Path("a")), finished.write(Path("b"))
    (one / "last.pt").unlink()
    page, _ = compared(one, two)
    assert page.row("a")[0][4] == "2" and page.row("b")[0][4] == "3"
    assert "note: a: has no last.pt, so its curves end at the best epoch" in capsys.readouterr().err


def test_best_pt_may_be_an_epoch_ahead_of_last_pt():
    """A run that was killed between the two files."""
    one, two = finished.write(Path("a")), finished.write(Path("b"), (0.1, 0.2, 0.3))
    history = checkpoint.load(two / "best.pt")["history"]
    checkpoint.save(two / "last.pt", finished.state(history[:2], finished.CLASSES))
    page, _ = compared(one, two)
    assert page.row("b")[0][1:6] == ["0.3000", "0.2000", "0.3000", "3", "3"]


def test_common_samples_stand_side_by_side():
    """Of A and B only A is common. The truth is equal, and is shown once."""
    one = finished.write(Path("a"), samples=[finished.sample(B), finished.sample(A, 5)])
    page, _ = compared(one, finished.write(Path("b"), samples=[finished.sample(A, 6)]))
    shown = [("image", 1), ("truth", 2), ("a, 93.1 % right", 5), ("b, 93.1 % right", 6)]
    assert pictures(page) == [(caption, finished.picture(seed)) for caption, seed in shown]
    assert A in page.texts and B not in page.texts
    assert "land" in page.texts and "error map: wrong" not in page.texts


def test_truths_that_differ_are_shown_each_with_its_runs():
    truths = {"a": 2, "b": 7, "c": 2}
    runs = [finished.write(Path(n), samples=[finished.sample(A, 3, t)]) for n, t in truths.items()]
    page, _ = compared(*runs)
    shown = dict(pictures(page))
    assert list(shown)[:3] == ["image", "truth of a, c", "truth of b"] and len(shown) == 6
    assert shown["truth of b"] == finished.picture(7)


@pytest.mark.parametrize("other", [finished.sample(B), finished.sample(A, side=4)])
def test_it_is_told_that_no_sample_is_common(other):
    one = finished.write(Path("a"), samples=[finished.sample(A)])
    page, _ = compared(one, finished.write(Path("b"), samples=[other]))
    assert "The reports of the runs show other windows: no sample is common." in page.texts
    assert not pictures(page)


def test_a_run_without_samples_is_told_and_the_others_show_theirs(capsys):
    runs = [finished.write(Path(name), samples=[finished.sample(A)]) for name in "ab"]
    page, _ = compared(*runs, finished.write(Path("c")))
    assert "Without samples, because samples.json is missing: c." in page.texts
    assert len(pictures(page)) == 4
    assert "note: c: has no samples.json" in capsys.readouterr().err


def test_runs_of_equal_names_are_told_apart_by_their_paths():
    page, _ = compared(finished.write(Path("x/a")), finished.write(Path("y/a")))
    assert page.row("x/a") and page.row("y/a")


def test_every_text_of_a_run_is_escaped():
    evil = "<script>alert(1)</script>&\"'"
    sample = finished.sample(evil)
    sample["pictures"][f"errors; {evil}"] = sample["pictures"].pop("errors; 93.1 % right")
    name = "<script>&\"'"
    one = finished.write(Path(name), names=[evil, "water"], samples=[sample], loss=evil)
    page, text = compared(one, finished.write(Path("b"), names=[evil, "water"], samples=[sample]))
    assert "<script" not in text
    # settings; in two charts of classes the name and its title; legend, heading of the sample; the
    # captions are in attributes and under the pictures
    assert "".join(page.texts).count(evil) == 1 + 4 + 1 + 1 + 2
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "a"}


def test_what_no_training_writes_does_no_harm():
    """Numbers are gaps, and control characters in names are escaped."""
    changes = {"a": {"val_loss": 1e308}, "b": {"macro_dice": -1e300, "seconds": 1e300}}
    names = ["x\x1b[2J\u202e", "water"]
    for name, change in changes.items():
        finished.write(Path(name), (0.5,))
        history = [finished.epoch(1, 0.5, [1e300, -1], names) | change]
        for file in ("best.pt", "last.pt"):
            checkpoint.save(Path(name) / file, finished.state(history, finished.CLASSES))
    page, text = compared("a", "b")
    assert page.row("b")[0][1] == "–" and page.row("b")[0][-1] == "0" and "000000000" not in text
    assert any("no number in a." in one for one in page.texts)
    assert r"x\x1b[2J\u202e" in page.texts and "\x1b" not in text and "\u202e" not in text


def damage(name, content):
    """Return a function that writes a file of the run a."""
    return lambda: (Path("a") / name).write_bytes(content)


def of_another_run():
    finished.write(Path("other"), (0.1, 0.2))
    (Path("a") / "last.pt").write_bytes((Path("other") / "last.pt").read_bytes())


def without_epochs():
    for name in ("best.pt", "last.pt"):
        checkpoint.save(Path("a") / name, finished.state([], finished.CLASSES))


@pytest.mark.parametrize(
    "change, words, message",
    [
        (lambda: Path("none").mkdir(), "a none", "none/best.pt: no such file"),
        (lambda: None, "a missing", "missing/best.pt: no such file"),
        (lambda: None, "a", "a: is one run; name two or more"),
        (lambda: None, "a b a", "a: is given twice"),
        (lambda: Path("link").symlink_to("a"), "a link", "link: is given twice"),
        (lambda: None, "a/best.pt a/last.pt", "a: is given twice"),
        (lambda: None, "a b -o a/best.pt", "a/best.pt: is an input"),
        (lambda: None, "a b -o b/log.csv", "b/log.csv: is an input"),
        (damage("best.pt", b"PK\x03\x04"), "a b", "a/best.pt: damaged"),
        (damage("last.pt", b"no checkpoint"), "a b", "a/last.pt: not one of our checkpoints"),
        (damage("samples.json", b"{}"), "a b", "a/samples.json: is no file of samples"),
        (of_another_run, "a b", "a: best.pt and last.pt are of different runs"),
        (without_epochs, "a b", "a: has no finished epoch"),
        (lambda: None, "a b -o no/page.html", "no/page.html: there is no folder no"),
    ],
)
def test_a_mistake_ends_in_one_line_and_changes_nothing(change, words, message):
    for name in "ab":
        (finished.write(Path(name)) / "log.csv").touch()
    change()
    before = {path: path.read_bytes() for path in Path().rglob("*.*") if path.is_file()}
    with pytest.raises((InputError, OSError), match=f"^{message}") as error:
        compare.main([*words.split(), *["-o", "page.html"] * ("-o" not in words)])
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in Path().rglob("*.*") if path.is_file()}


def test_the_command_exits_with_status_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "a", "b", "-o", "page.html"])
    monkeypatch.delitem(sys.modules, "unet.evaluation.compare")
    with pytest.raises(SystemExit) as end:
        runpy.run_module("unet.evaluation.compare", run_name="__main__")
    assert end.value.code == 2
    told = "unet.evaluation.compare: error: a/best.pt: no such file; give a checkpoint written by"
    assert capsys.readouterr().err == f"{told} train.py\n"
