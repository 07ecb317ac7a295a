"""Maps against their truth: shares by hand, the statistics of many images, the page and the table
in the terminal.
"""

import pytest
import torch

from unet.evaluation import report
from unet.evaluation import scores as evaluation
from unet.evaluation.shares import share_error, share_of, share_statistics, spearman
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


def test_the_words_on_shares_have_the_fitted_line():
    # As in test_shares.py: slope 1.5, intercept 1.3 / 3 - 0.45.
    words = evaluation.in_words(share_statistics([(0.1, 0.2), (0.3, 0.3), (0.5, 0.8)]))
    times = "\N{MULTIPLICATION SIGN}"
    assert words.endswith(f"Line of least squares, in %: prediction = 1.500 {times} truth - 1.67.")
    words = evaluation.in_words(share_statistics([(0.1, 0.5), (0.2, 0.5), (0.3, 0.5 - 1e-9)]))
    assert words.endswith(f"prediction = 0.000 {times} truth + 50.00.")


@pytest.mark.parametrize("others", [[], [ConfusionMatrix(3)], [ONE], [ONE, ONE]])
def test_few_images_and_equal_shares_give_a_page_without_nan(others):
    groups, names = {"house": [1], "road": [2]}, ["a.tif", "b.tif", "c.tif"][: 1 + len(others)]
    page = evaluation.page("maps", CLASSES, [ONE, *others], groups, {}, names)
    text = report.html(page)
    assert "nan" not in text.lower() and text.count("Share of") == 2 * bool(others)
    assert ("Line of least squares is not defined" in text) == bool(others)
    assert "The solid line" not in text and ("Images, the worst first" in text) == bool(others)


def test_without_names_there_is_no_table_of_images():
    page = evaluation.page("windows", CLASSES, [ONE, ONE], {"house": [1]})
    assert page["images"] == [] and "Images, the worst first" not in report.html(page)


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
    assert "&ndash;" in text and "Confusion matrix" in text and "Share of" not in text


def test_the_table_for_the_terminal_has_dashes_for_0_by_0():
    lines = evaluation.score_table(
        ["field", "house", "road"], matrix([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    ).splitlines()
    assert lines[1].split() == ["field", "0.750", "0.857", "1.000", "0.750"]
    assert lines[3].split() == ["road", "-", "-", "-", "-"]
    assert lines[4].split()[-1] == "8" and "accuracy 0.8750" in lines[4]
