"""Maps against their truth: shares by hand, the statistics of many images, the page and the table
in the terminal.
"""

import torch

from unet.evaluation import report
from unet.evaluation import scores as evaluation
from unet.evaluation.shares import share_error, share_of, spearman
from unet.metrics import ConfusionMatrix

CLASSES = [("field", (255, 211, 127)), ("house", (215, 45, 39)), ("road", (110, 110, 110))]


def matrix(rows: list) -> ConfusionMatrix:
    return ConfusionMatrix(len(rows), torch.tensor(rows))


# Of 20 pixels 12 are field, 5 house and 3 road; predicted are 11, 7 and 2.
ONE = matrix([[10, 2, 0], [0, 4, 1], [1, 1, 1]])


def test_the_page_has_the_sum_of_the_matrices_and_the_shares_of_each():
    random = torch.Generator().manual_seed(0)
    images = [ConfusionMatrix(3, torch.randint(0, 50, (3, 3), generator=random)) for _ in range(5)]
    page = evaluation.page("maps", CLASSES, images, {"built-up": [1, 2]})
    assert torch.equal(page["matrix"], torch.stack([image.matrix for image in images]).sum(0))
    assert page["shares"][0]["pairs"] == [share_of(image, [1, 2]) for image in images]
    truth, prediction = zip(*(share_of(image, [2]) for image in images))
    row = page["share_table"][2]
    assert row["name"] == "road" and row["spearman"] == spearman(truth, prediction)
    assert (row["error"], row["low"], row["high"]) == share_error(truth, prediction)
    text = report.html(page)
    assert "Share of built-up" in text and text.count("<circle") == 5
    assert (
        f"{row['low'] * 100:.2f} to {row['high'] * 100:.2f}" in text
        and "Shares of the classes" in text
    )


def test_a_class_that_is_nowhere_has_no_plot_and_a_constant_one_no_rank():
    image = matrix([[5, 0, 0], [0, 4, 0], [0, 0, 0]])
    page = evaluation.page("maps", CLASSES, [image, image], {"house": [1], "road": [2]})
    assert [group["name"] for group in page["shares"]] == ["house"]
    assert page["shares"][0]["text"].startswith("Spearman not defined, mean absolute error 0.00 ")


def test_several_groups_are_several_plots():
    page = evaluation.page("maps", CLASSES, [ONE, ONE], {"field": [0], "house": [1]})
    text = report.html(page)
    assert "Share of field" in text and "Share of house" in text
    assert text.count("&ndash;") >= 3  # Spearman of equal shares is not defined


def test_one_image_has_no_statistics_over_images():
    text = report.html(evaluation.page("map", CLASSES, [ONE], {"built-up": [1, 2]}))
    assert "Share of" not in text and "Shares of" not in text and "Confusion matrix" in text


def test_maps_without_any_pixel_of_truth_give_a_page_all_the_same():
    text = report.html(
        evaluation.page("maps", CLASSES, [ConfusionMatrix(3)] * 2, {"built-up": [1, 2]})
    )
    assert "&ndash;" in text and "Confusion matrix" in text


def test_the_table_for_the_terminal_has_dashes_for_0_by_0():
    lines = evaluation.score_table(
        ["field", "house", "road"], matrix([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    ).splitlines()
    assert lines[1].split() == ["field", "0.750", "0.857", "1.000", "0.750"]
    assert lines[3].split() == ["road", "-", "-", "-", "-"]
    assert lines[4].split()[-1] == "8" and "accuracy 0.8750" in lines[4]
