"""Worked examples for unet/evaluation/report.py: figures and curve points by hand, and a page that
is safe to open.
"""

import base64
import math
import random
from html.parser import HTMLParser
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pytest

from unet.evaluation import report

VOID = {"meta", "img", "br"}  # the only elements here that have no end tag


class Page(HTMLParser):
    """What a browser would find: elements and their attributes, table rows as lists of texts, all
    texts.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.rows, self.texts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):  # only in SVG: <path ... />
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.texts.append(data)
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, *start):
        return [row for row in self.rows if row[: len(start)] == list(start)]


def run(**changes):
    """Two classes: 3 pixels of a found, 1 taken for b; both pixels of b found."""
    truth = np.array([[0, 0, 0], [0, 1, 1]], np.uint8)
    prediction = np.array([[0, 0, 0], [1, 1, 1]], np.uint8)
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    sample = {"title": "scene.tif, row 0", "rgb": rgb, "truth": truth, "prediction": prediction}
    scores = {"lr": 5e-4, "macro_dice": 0.5, "weighted_dice": 0.6, "mean_iou": 0.4}
    history = [{"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, **scores} for n in (1, 2, 3)]
    return {
        "title": "two classes",
        "summary": [("best epoch", "2 of 3"), ("macro Dice", "0.829")],
        "command": "python predict.py scene.tif",
        "history": history,
        "best_epoch": 2,
        "classes": [("a", "#FF0000"), ("b", "#0000ff")],
        "matrix": [[3, 1], [0, 2]],
        "samples": [sample],
        "settings": {"bands": ["Red", "NIR"], "lr": 5e-4},
        **changes,
    }


def points(svg):
    """Of an SVG text: the lines and the dots, as lists of (x, y)."""
    root = ElementTree.fromstring(svg)
    lines = [e.get("points") for e in root.iter("{http://www.w3.org/2000/svg}polyline")]
    dots = [
        (float(e.get("cx")), float(e.get("cy")))
        for e in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines], dots


def pictures(page):
    found = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in found)
    return [imagecodecs.png_decode(base64.b64decode(source.split(",")[1])) for source in found]


def test_every_tag_is_closed_and_every_section_is_there():
    page = Page(report.html(run(shares={"name": "b", "pairs": [(0.1, 0.2)], "text": "Spearman 1"})))
    assert page.open == []
    for heading in (
        "Learning curves",
        "Classes",
        "Confusion matrix",
        "Share of b",
        "Samples",
        "Settings",
    ):
        assert heading in page.texts
    assert {"best epoch", "2 of 3", "python predict.py scene.tif"} <= set(page.texts)


def test_table_of_classes_by_hand():
    # a: 4 pixels of truth, 3 predicted, 3 common: IoU 3/4, Dice 6/7, precision 3/3, recall 3/4.
    # b: 2 pixels of truth, 3 predicted, 2 common: IoU 2/3, Dice 4/5, precision 2/3, recall 2/2.
    page = Page(report.html(run()))
    assert ["a", "4", "66.7", "50.0", "0.750", "0.857", "1.000", "0.750"] in page.rows
    assert ["b", "2", "33.3", "50.0", "0.667", "0.800", "0.667", "1.000"] in page.rows
    assert ["macro mean", "", "", "", "0.708", "0.829", "0.833", "0.875"] in page.rows
    # Weighted 4 : 2, for example Dice (4 * 6/7 + 2 * 4/5) / 6.
    assert ["weighted mean", "", "", "", "0.722", "0.838", "0.889", "0.833"] in page.rows


def test_confusion_matrix_by_hand_in_pixels_and_per_cent_of_the_row():
    page = Page(report.html(run()))
    assert ["a", "3", "1"] in page.rows and ["b", "0", "2"] in page.rows
    assert ["a", "75.0", "25.0"] in page.rows and ["b", "0.0", "100.0"] in page.rows


def test_published_matrix_of_built_up_areas():
    matrix = [[2926629, 10144, 229225], [4171, 131252, 25538], [183183, 23916, 785942]]
    names = ["other", "non-residential", "residential"]
    page = Page(
        report.html(run(classes=[(name, "#808080") for name in names], matrix=matrix, samples=[]))
    )
    table = [row for row in page.rows if row[0] in names and len(row) == 8]
    assert [row[5] for row in table] == ["0.932", "0.805", "0.773"]
    assert page.row("macro mean")[0][5] == "0.837" and page.row("weighted mean")[0][5] == "0.891"
    assert page.row("residential", "183,183") == [["residential", "183,183", "23,916", "785,942"]]


def test_class_that_neither_occurs_nor_is_predicted_is_a_dash_and_leaves_the_means():
    classes = [("a", "#FF0000"), ("b", "#0000FF"), ("c", "#00FF00")]
    page = Page(report.html(run(classes=classes, matrix=[[3, 1, 0], [0, 2, 0], [0, 0, 0]])))
    assert ["c", "0", "0.0", "0.0", "–", "–", "–", "–"] in page.rows
    assert ["c", "–", "–", "–"] in page.rows
    assert page.row("macro mean")[0][4:] == ["0.708", "0.829", "0.833", "0.875"]
    assert any(text.startswith("– is 0/0") for text in page.texts)
    assert not any(text.startswith("– is 0/0") for text in Page(report.html(run())).texts)


def test_matrix_without_a_pixel_is_all_dashes():
    page = Page(report.html(run(matrix=[[0, 0], [0, 0]])))
    assert ["a", "0", *"–" * 6] in page.rows
    assert ["macro mean", "", "", "", *"–" * 4] in page.rows


def test_every_text_of_the_user_is_escaped():
    evil = "<script>alert(1)</script>&\"'"
    sample = {**run()["samples"][0], "title": evil}
    text = report.html(
        run(
            title=evil,
            summary=[(evil, evil)],
            command=evil,
            classes=[(evil, "#FF0000"), ("b", "#0000FF")],
            samples=[sample],
            settings={evil: evil, "list": [evil]},
            shares={"name": evil, "pairs": [(0.1, 0.2)], "text": evil},
        )
    )
    page = Page(text)
    assert "<script" not in text and page.open == []
    # title and heading, summary, command; the class in its table, twice in each matrix and in the
    # legend; the sample, the settings, the shares
    assert "".join(page.texts).count(evil) == 2 + 2 + 1 + (1 + 4 + 1) + 1 + 3 + 2


def test_labels_of_a_chart_are_escaped():
    root = ElementTree.fromstring(report.line_chart({"<b>&": [1, 2], "c": [1, 2]}, [1, 2], '"<i>'))
    assert {"<b>&", '"<i>'} <= {element.text for element in root.iter()}


def test_page_needs_nothing_from_outside_and_runs_nothing():
    page = Page(report.html(run()))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "a"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not any(name.startswith("on") or name.endswith("href") for name in names)
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert len(sources) == 4 and all(source.startswith("data:") for source in sources)
    assert "url(" not in report.STYLE and "@import" not in report.STYLE
    policies = [
        a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_png_decodes_to_the_same_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    for array in (
        picture,
        picture[::2, ::-1],
        picture.transpose(1, 0, 2),
    ):  # also of arrays with odd strides
        np.testing.assert_array_equal(imagecodecs.png_decode(report.png(array)), array)


def test_colorize_by_hand():
    labels = np.array([[1, 0, 255]], np.uint8)
    picture = report.colorize(labels, [(1, 2, 3), (4, 5, 6)], ignore_color=(7, 8, 9))
    assert picture.tolist() == [[[4, 5, 6], [1, 2, 3], [7, 8, 9]]] and picture.dtype == np.uint8


def test_colorize_refuses_a_label_without_a_colour():
    with pytest.raises(ValueError, match="label 2, but there are 2 colours"):
        report.colorize(np.array([[0, 2, 255]], np.uint8), [(1, 2, 3), (4, 5, 6)])


def test_sample_shows_image_truth_prediction_and_errors():
    sample = run()["samples"][0]
    sample["truth"][0, 0] = 255  # nothing is known here, whatever the prediction says
    page = Page(report.html(run(samples=[sample])))
    image, truth, prediction, errors = pictures(page)
    red, blue, black = [255, 0, 0], [0, 0, 255], [0, 0, 0]
    right, wrong = list(report.RIGHT), list(report.WRONG)
    np.testing.assert_array_equal(image, sample["rgb"])
    assert truth.tolist() == [[black, red, red], [red, blue, blue]]
    assert prediction.tolist() == [[red, red, red], [blue, blue, blue]]
    assert errors.tolist() == [[black, right, right], [wrong, right, right]]
    assert "errors; 80.0 % right" in page.texts and "scene.tif, row 0" in page.texts  # 4 of 5


def test_sample_without_a_label_has_no_share_of_right_pixels():
    sample = {**run()["samples"][0], "truth": np.full((2, 3), 255, np.uint8)}
    assert "errors; – % right" in Page(report.html(run(samples=[sample]))).texts


def test_curve_lies_where_hand_computation_says():
    # The plot reaches from x = 50 to 420 - 14 = 406, and from y = 270 - 40 = 230 for 0 up to 62 for
    # 1.
    lines, dots = points(report.line_chart({"loss": [1, 0.25, 0]}, [1, 2, 3], "Loss"))
    assert lines == [[(50, 62), (228, 188), (406, 230)]] and dots == []


def test_values_that_are_no_number_are_gaps_and_a_value_between_gaps_is_a_dot():
    values = [1, math.nan, 0.5, 0, None, math.inf]
    lines, dots = points(report.line_chart({"loss": values}, [1, 2, 3, 4, 5, 6], "Loss"))
    assert dots == [(50, 62)]
    assert lines == [[(192.4, 146), (263.6, 230)]]  # 50 + 356 * 2/5 and 3/5


def test_single_epoch_is_a_dot_in_the_middle():
    lines, dots = points(
        report.line_chart({"training": [1.0], "validation": [0.0]}, [1], "Loss", mark=1)
    )
    assert lines == [] and dots == [(228, 62), (228, 230)]
    assert (
        Page(report.html(run(history=run()["history"][:1], best_epoch=1))).texts.count("best: 1")
        == 3
    )


def test_flat_line_stands_at_its_height_above_zero():
    lines, _ = points(report.line_chart({"lr": [5e-4, 5e-4]}, [1, 2], "Learning rate"))
    assert lines == [[(50, 62), (406, 62)]]
    lines, _ = points(
        report.line_chart({"lr": [0.5, 0.5 + 1e-16]}, [1, 2], "equal but for rounding")
    )
    assert lines == [[(50, 62), (406, 62)]]


def test_best_epoch_is_marked_at_its_place():
    svg = report.line_chart({"loss": [1, 0.5, 0]}, [1, 2, 3], "Loss", mark=2)
    assert '<path d="M228.0 62V230"' in svg and ">best: 2<" in svg
    assert "best" not in report.line_chart({"loss": [1, 0.5, 0]}, [1, 2, 3], "Loss")


def test_chart_says_which_curves_have_no_finite_value():
    svg = report.line_chart({"training": [1, 2], "validation": [math.nan] * 2}, [1, 2], "Loss")
    assert "epoch; no finite value: validation" in svg
    lines, dots = points(report.line_chart({"loss": [math.nan] * 3}, [1, 2, 3], "Loss"))
    assert lines == [] and dots == []


def test_history_with_missing_columns_and_nan_epochs_is_drawn():
    history = [{"epoch": n, "train_loss": math.nan if n == 2 else 1 / n} for n in range(1, 5)]
    page = Page(report.html(run(history=history, best_epoch=None)))
    assert page.open == [] and "nan" not in "".join(page.texts).lower()
    assert "epoch; no finite value: macro Dice, weighted Dice, mean IoU" in page.texts


@pytest.mark.parametrize("changes", [{"history": []}, {"history": None}])
def test_evaluation_without_training_has_no_curves(changes):
    page = Page(report.html(run(**changes, best_epoch=None)))
    assert "Learning curves" not in page.texts and "svg" not in {tag for tag, _ in page.elements}
    assert "Confusion matrix" in page.texts and page.open == []


def test_title_classes_and_matrix_are_enough():
    few = {key: run()[key] for key in ("title", "classes", "matrix")}
    page = Page(report.html(few))
    assert page.open == [] and [tag for tag, _ in page.elements].count("h2") == 2


@pytest.mark.parametrize(
    "low, high, texts",
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.31, 0.92, ["0.2", "0.4", "0.6", "0.8", "1.0"]),
        (1, 40, ["0", "10", "20", "30", "40"]),
        (0, 5e-4, ["0", "0.0001", "0.0002", "0.0003", "0.0004", "0.0005"]),
        (-3e6, 1e6, ["-3e+06", "-2e+06", "-1e+06", "0", "1e+06"]),
    ],
)
def test_ticks_have_the_values_a_person_would_choose(low, high, texts):
    assert list(report._ticks(low, high, 5).values()) == texts


def test_ticks_cover_any_range_with_few_different_texts():
    rng = random.Random(0)
    for _ in range(500):
        low = rng.uniform(-1, 1) * 10 ** rng.uniform(-4, 4)
        high = low + abs(low) * 10 ** rng.uniform(-2, 2)
        ticks = report._ticks(low, high, 5)
        step = np.diff(list(ticks))
        slack = 1e-6 * step[0]
        assert min(ticks) <= low + slack and max(ticks) >= high - slack and 3 <= len(ticks) <= 8
        np.testing.assert_allclose(step, step[0], rtol=1e-6)
        assert f"{step[0]:.0e}"[0] in "125" and len(set(ticks.values())) == len(ticks)
        assert all(math.isclose(float(text), value, abs_tol=slack) for value, text in ticks.items())


def test_epochs_are_ticked_at_whole_numbers_inside_the_run():
    for last in range(1, 120):
        root = ElementTree.fromstring(
            report.line_chart({"y": [0] * last}, list(range(1, last + 1)), "t")
        )
        row = [e.text for e in root.iter() if e.get("y") == "247.0"]  # below the axis at 230
        assert 1 <= len(row) <= 8 and all(1 <= int(text) <= last for text in row)


def test_scatter_of_shares_by_hand():
    # From 0 % at (50, 346) to 100 % at (366, 30); an image without labels has no share and no dot.
    shares = {
        "name": "built-up",
        "pairs": [(0, 0), (1, 1), (0.5, 0.25), (math.nan, 1)],
        "text": "Spearman 1.000",
    }
    page = Page(report.html(run(history=[], shares=shares)))
    dots = [(float(a["cx"]), float(a["cy"])) for tag, a in page.elements if tag == "circle"]
    assert dots == [(50, 346), (366, 30), (208, 267)]
    assert "Share of built-up" in page.texts and "Spearman 1.000" in page.texts


def test_settings_are_listed_with_commas():
    page = Page(report.html(run()))
    assert ["bands", "Red, NIR"] in page.rows and ["lr", "0.0005"] in page.rows


def test_matrix_that_does_not_fit_the_classes_is_refused():
    with pytest.raises(ValueError, match="confusion matrix of 2 classes"):
        report.html(run(matrix=[[1, 0, 0], [0, 1, 0], [0, 0, 1]]))
