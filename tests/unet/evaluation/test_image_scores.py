"""Scores of single images: the row of one image by hand, and order and length of the table."""

import csv
import html
import math
import re

import numpy as np
import pytest
import torch

from data.files import IGNORE
from unet.evaluation import image_scores
from unet.metrics import ConfusionMatrix

NAMES = ["field", "house", "road"]
GROUPS = {"built-up": [1, 2]}
# Of 20 pixels 12 are field, 5 house and 3 road; predicted are 11, 7 and 2.
ONE = ConfusionMatrix(3, [[10, 2, 0], [0, 4, 1], [1, 1, 1]])


def written(tmp_path, images, names=NAMES, groups=GROUPS) -> list[dict]:
    image_scores.write(tmp_path / "scores.csv", images, names, groups)
    with open(tmp_path / "scores.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_row_of_an_image_by_hand(tmp_path):
    (row,) = written(tmp_path, [("a.tif", ONE)])
    assert row.pop("image") == "a.tif" and row.pop("pixels") == "20"
    assert {name: float(value) for name, value in row.items()} == pytest.approx(
        {
            "accuracy": 15 / 20,
            "macro_dice": (20 / 23 + 8 / 12 + 2 / 5) / 3,
            "dice_field": 20 / 23,
            "dice_house": 8 / 12,
            "dice_road": 2 / 5,
            "iou_field": 10 / 13,
            "iou_house": 4 / 8,
            "iou_road": 1 / 4,
            "true_share_field": 0.6,
            "mapped_share_field": 0.55,
            "share_difference_field": -0.05,
            "true_share_house": 0.25,
            "mapped_share_house": 0.35,
            "share_difference_house": 0.1,
            "true_share_road": 0.15,
            "mapped_share_road": 0.1,
            "share_difference_road": -0.05,
            "true_share_built-up": 0.4,
            "mapped_share_built-up": 0.45,
            "share_difference_built-up": 0.05,
        },
        abs=1e-6,
    )


def test_what_is_0_by_0_is_an_empty_cell(tmp_path):
    no_road = ConfusionMatrix(3, [[5, 0, 0], [0, 4, 0], [0, 0, 0]])
    first, second = written(tmp_path, [("a", no_road), ("b", ConfusionMatrix(3))])
    assert [name for name, value in first.items() if not value] == ["dice_road", "iou_road"]
    assert first["true_share_road"] == first["mapped_share_road"] == "0.000000"
    assert second.pop("image") == "b" and second.pop("pixels") == "0"
    assert set(second.values()) == {""}


def test_names_are_text_for_a_spreadsheet_and_each_group_of_one_class_comes_once(tmp_path):
    names = ["=1+1", '"a",b', "road"]
    images = [("=cmd()", ONE), ("b\udcff.tif", ONE)]
    image_scores.write(tmp_path / "scores.csv", images, names, {name: [0] for name in names[:1]})
    head, *lines = (tmp_path / "scores.csv").read_bytes().splitlines()
    assert head.startswith(b'image,pixels,accuracy,macro_dice,dice_=1+1,"dice_""a"",b",')
    assert head.count(b"true_share_=1+1") == 1
    assert lines[0].startswith(b"'=cmd(),20,") and lines[1].startswith(b"b\xff.tif,20,")


def test_images_are_sorted_by_accuracy_and_those_without_a_pixel_come_last():
    right = ConfusionMatrix(3, [[5, 0, 0], [0, 4, 0], [0, 0, 0]])
    wrong = ConfusionMatrix(3, [[0, 4, 2], [0, 2, 0], [0, 0, 2]])
    images = [("none", ConfusionMatrix(3)), ("one", ONE), ("right", right), ("wrong", wrong)]
    rows = image_scores.ranked(images, {name: [label] for label, name in enumerate(NAMES)})
    assert [row["name"] for row in rows] == ["wrong", "one", "right", "none"]
    assert rows[1]["share"] == ("house", 0.25, 0.35) and rows[0]["share"][0] == "field"
    assert rows[0]["accuracy"] == 0.4 and rows[0]["pixels"] == 10
    assert rows[1]["dice"] == ONE.dice().tolist() and rows[1]["macro_dice"] == ONE.macro_dice()


def cells(page: str) -> list[list[str]]:
    rows = re.findall("<tr>(.*?)</tr>", page)
    plain = [re.sub("<wbr>|</?span>", "", row) for row in rows]
    return [
        [html.unescape(text) for text in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in plain
    ]


def test_the_table_shows_the_worst_images_and_says_where_the_others_are():
    rows = image_scores.ranked([(f"in/{n}.tif", ONE) for n in range(500)], GROUPS)
    few, many = (image_scores.table(part, NAMES) for part in (rows[:30], rows))
    assert cells(few)[1] == [
        *("0.tif", "20", "0.750", "0.645", "+5.0", "built-up 40.0 \N{RIGHTWARDS ARROW} 45.0"),
        *("0.870", "0.667", "0.400"),
    ]
    assert len(cells(few)) == len(cells(many)) == 1 + 30
    assert "All 30 images of in/ are" in few and "30 of the 500 images of in/ are shown" in many
    assert "Sorted by accuracy, the lowest first" in many and "scores.csv" in many
    assert len(many) < 20_000


def test_the_table_escapes_names_and_has_dashes_for_an_image_without_a_pixel():
    evil = "<script>/&"
    images = [(name, ConfusionMatrix(2)) for name in (evil, f"a{evil}")]
    rows = image_scores.ranked(images, {evil: [1]})
    page = image_scores.table(rows, [evil, "b"])
    assert "<script" not in page and cells(page)[0][6] == f"Dice {evil}"
    assert cells(page)[1] == [evil, "0", *"\N{EN DASH}" * 6]


def test_figures_of_an_image_by_hand():
    no_road = ConfusionMatrix(3, [[6, 2, 0], [0, 2, 0], [0, 0, 0]])
    arrow = "\N{RIGHTWARDS ARROW}"
    assert image_scores.figures(no_road, NAMES) == {
        "accuracy": 0.8,
        "text": f"accuracy 0.800, macro Dice 0.762; share of truth {arrow} prediction: "
        f"field 80.0 {arrow} 60.0 %, house 20.0 {arrow} 40.0 %",
    }
    nothing = image_scores.figures(ConfusionMatrix(3), NAMES)
    assert math.isnan(nothing["accuracy"]) and nothing["text"] == "no pixel with a label"


def test_figures_of_a_sample_are_those_of_its_labels():
    truth = np.array([[0, 0, 1], [2, IGNORE, 1]], np.uint8)
    prediction = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
    sample = {"title": "a", "truth": truth, "prediction": prediction, "accuracy": 0.1}
    confusion = ConfusionMatrix(3)
    confusion.update(torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 2, 1]))
    (found,) = image_scores.described([sample], NAMES)
    assert found == {**sample, **image_scores.figures(confusion, NAMES)}
    assert found["accuracy"] == 3 / 5


def test_the_table_of_images_of_a_single_class_has_no_error_of_a_share():
    """One class has no group, because its share is always 100 %."""
    one = ConfusionMatrix(1, torch.tensor([[9]]))
    images = image_scores.ranked([("a.tif", one), ("b.tif", one)], {})
    text = image_scores.table(images, ["land"])
    assert text.count("&ndash;") == 2 * 2 + 1  # two cells of each image, and the note
