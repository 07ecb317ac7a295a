"""Worked examples for unet/evaluation/report.py: figures and curve points by hand, and a page that
is safe to open.
"""

import base64
import math
import re
from html.parser import HTMLParser

import pytest

from unet.evaluation import markup, report

VOID = {"meta", "img", "br"}  # the only elements here that have no end tag


class Page(HTMLParser):
    """A parsed page: elements and their attributes, table rows as lists of texts, all texts."""

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
    """Two classes: 3 pixels of a are right, 1 is labelled b; both pixels of b are right."""
    pictures = {"image": b"one", "truth": b"two", "prediction": b"three", "errors": b"four"}
    scores = {"lr": 5e-4, "macro_dice": 0.5, "weighted_dice": 0.6, "mean_iou": 0.4}
    history = [{"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, **scores} for n in (1, 2, 3)]
    return {
        "title": "two classes",
        "summary": [("best epoch", "2 of 3"), ("macro Dice", "0.829")],
        "command": "python predict.py scene.tif",
        "history": history,
        "best_epoch": 2,
        "classes": [("a", (255, 0, 0)), ("b", (0, 0, 255))],
        "matrix": [[3, 1], [0, 2]],
        "samples": [{"title": "scene.tif, row 0", "pictures": pictures}],
        "legend": [("a", (255, 0, 0)), ("no label", (0, 0, 0))],
        "settings": {"bands": ["Red", "NIR"], "lr": 5e-4},
        **changes,
    }


def test_every_tag_is_closed_and_every_section_is_there():
    page = Page(
        report.html(run(shares=[{"name": "b", "pairs": [(0.1, 0.2)], "text": "Spearman 1"}]))
    )
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
        report.html(
            run(classes=[(name, (128, 128, 128)) for name in names], matrix=matrix, samples=[])
        )
    )
    table = [row for row in page.rows if row[0] in names and len(row) == 8]
    assert [row[5] for row in table] == ["0.932", "0.805", "0.773"]
    assert page.row("macro mean")[0][5] == "0.837" and page.row("weighted mean")[0][5] == "0.891"
    assert page.row("residential", "183,183") == [["residential", "183,183", "23,916", "785,942"]]


def test_class_that_neither_occurs_nor_is_predicted_is_a_dash_and_leaves_the_means():
    classes = [("a", (255, 0, 0)), ("b", (0, 0, 255)), ("c", (0, 255, 0))]
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
    sample = {"title": evil, "pictures": {evil: b"one"}}
    text = report.html(
        run(
            title=evil,
            summary=[(evil, evil)],
            command=evil,
            classes=[(evil, (255, 0, 0)), ("b", (0, 0, 255))],
            samples=[sample],
            legend=[(evil, (0, 0, 0))],
            settings={evil: evil, "list": [evil]},
            shares=[{"name": evil, "pairs": [(0.1, 0.2)], "text": evil}],
        )
    )
    page = Page(text)
    assert "<script" not in text and page.open == []
    # title and heading, summary, command; the class in its table and twice in each matrix; the
    # legend, title and caption of the sample; the settings, the shares
    assert "".join(page.texts).count(evil) == 2 + 2 + 1 + (1 + 4) + (1 + 2) + 3 + 2


def test_page_needs_nothing_from_outside_and_runs_nothing():
    page = Page(report.html(run()))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "a"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not any(name.startswith("on") or name.endswith("href") for name in names)
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert len(sources) == 4 and all(source.startswith("data:") for source in sources)
    assert "url(" not in markup.STYLE and "@import" not in markup.STYLE
    policies = [
        a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_samples_show_their_pictures_with_captions_and_a_legend():
    page = Page(report.html(run()))
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    found = [base64.b64decode(source.split(",")[1]) for source in sources]
    assert found == [b"one", b"two", b"three", b"four"]
    assert {"image", "truth", "prediction", "errors", "no label"} <= set(page.texts)
    assert "scene.tif, row 0" in page.texts


def test_the_only_epoch_is_marked_as_the_best_in_each_chart():
    page = Page(report.html(run(history=run()["history"][:1], best_epoch=1)))
    assert page.texts.count("best: 1") == 3


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


def test_each_class_has_a_chart_of_its_dice_iou_and_accuracy_with_the_axis_0_to_1():
    """The plot reaches from y = 180 for 0 up to 62 for 1, and from x = 50 to 280 - 14."""
    history = run()["history"]
    for n, row in enumerate(history):
        row |= {"dice_a": (n + 1) / 4, "iou_a": 0.25, "accuracy_a": math.nan if n == 1 else 0.5}
        row |= {"dice_b": math.nan, "iou_b": None}
    page = Page(report.html(run(history=history)))
    assert "Classes by epoch" in page.texts and page.texts.count("best: 2") == 4
    charts = [a["aria-label"] for tag, a in page.elements if tag == "svg"]
    assert charts == ["Loss", "Validation", "Learning rate", "a"]
    lines = [a["points"] for tag, a in page.elements if tag == "polyline"]
    assert lines[-2:] == ["50.0,150.5 158.0,121.0 266.0,91.5", "50.0,150.5 158.0,150.5 266.0,150.5"]
    dots = [(a["cx"], a["cy"]) for tag, a in page.elements if tag == "circle"]
    assert dots == [("50.0", "121.0"), ("266.0", "121.0")]
    assert any(text.endswith("Neither in the truth nor predicted: b.") for text in page.texts)


def test_a_history_without_columns_of_the_classes_has_no_charts_of_them():
    assert "Classes by epoch" not in Page(report.html(run())).texts


def test_a_long_name_of_a_class_is_shortened_in_its_chart_and_escaped():
    name = "<b>" + 40 * "x"
    history = [{"epoch": 1, f"dice_{name}": 0.5}, {"epoch": 2, f"dice_{name}": 0.5}]
    page = Page(report.html(run(history=history, classes=[(name, (0, 0, 0)), ("b", (0, 0, 0))])))
    assert page.open == [] and "<b>" + 27 * "x" + "…" in page.texts


def test_scatter_of_shares_by_hand():
    # From 0 % at (50, 346) to 100 % at (366, 30); an image without labels has no share and no dot.
    shares = {
        "name": "built-up",
        "pairs": [(0, 0), (1, 1), (0.5, 0.25), (math.nan, 1)],
        "text": "Spearman 1.000",
    }
    page = Page(report.html(run(history=[], shares=[shares])))
    dots = [(float(a["cx"]), float(a["cy"])) for tag, a in page.elements if tag == "circle"]
    assert dots == [(50, 346), (366, 30), (208, 267)]
    assert "Share of built-up" in page.texts and "Spearman 1.000" in page.texts


def test_shares_have_two_histograms_and_a_fitted_line_where_there_is_one():
    shares = {"name": "b", "pairs": [(0, 0), (1, 1), (0.5, 0.25)], "text": "Spearman 1.000"}
    for line, lines in ((0.9, 0.01), 1), ((math.nan, math.nan), 0):
        page = Page(report.html(run(history=[], shares=[shares | {"line": line}])))
        assert [tag for tag, _ in page.elements].count("polyline") == lines
        assert [a.get("class") for _, a in page.elements].count("bars") == 2


def test_samples_stand_below_the_heading_of_their_group_with_their_figures():
    def sample(number, **more):
        return {"title": f"s{number}", "pictures": {"image": b"one"}} | more

    worst = [sample(n, group="Worst <b>", text=f"accuracy 0.{n}") for n in (1, 2)]
    page = Page(report.html(run(samples=[*worst, sample(3, group="Best", text="accuracy <i>")])))
    after = page.texts[page.texts.index("Worst <b>") :]
    words = [text for text in after if text[:1] in "WBs" or text.startswith("accuracy")]
    assert words[:8] == [
        *("Worst <b>", "s1", "accuracy 0.1", "s2", "accuracy 0.2"),
        *("Best", "s3", "accuracy <i>"),
    ]
    assert "Samples" not in page.texts and page.texts.count("no label") == 1


def test_options_without_a_value_are_left_out_of_the_settings():
    page = Page(report.html(run(settings={"version": None, "seed": 0, "tta": False})))
    assert page.rows[-2:] == [["seed", "0"], ["tta", "False"]] and "version" not in page.texts


def test_turned_names_begin_at_the_lower_edge_in_the_middle_of_their_columns():
    """A name of two lines stood at the upper edge, because its lines were aligned to the right."""
    rules = dict(re.findall(r"([^{}]+?) \{([^{}]*)\}", report.page("", [])))
    turned = next(text for name, text in rules.items() if name.endswith(".tall span"))
    assert "rotate(180deg)" in turned and "text-align: left" in turned
    heads = next(text for name, text in rules.items() if name.endswith(".tall th + th"))
    assert "text-align: center" in heads


def test_settings_are_listed_with_commas():
    page = Page(report.html(run()))
    assert ["bands", "Red, NIR"] in page.rows and ["lr", "0.0005"] in page.rows


def test_matrix_that_does_not_fit_the_classes_is_refused():
    with pytest.raises(ValueError, match="confusion matrix of 2 classes"):
        report.html(run(matrix=[[1, 0, 0], [0, 1, 0], [0, 0, 1]]))
