"""The section on alignment: figures by hand, and what is left out."""

import math

import pytest
from test_report import Page

from unet.evaluation import alignment, report


def images(*shares) -> list[dict]:
    """Images i0, i1, ... with the shares (before, after) of the class town; the rest is other."""
    return [
        {"image": f"i{number}", "before": [1 - before, before], "after": [1 - after, after]}
        for number, (before, after) in enumerate(shares)
    ]


def values(*shares, **changes) -> dict:
    sample = {"title": "i0", "pictures": {"mask before": b"one", "mask after": b"two"}}
    return {
        "text": "largest change of a share 4.00 percentage points, <town> in i0",
        "classes": [("other", (200, 200, 200)), ("<town>", (255, 0, 0))],
        "images": images(*shares),
        "samples": [sample],
        **changes,
    }


def test_the_classes_have_mean_and_largest_change_and_spearman_over_the_images():
    page = Page(alignment.section(values((0.5, 0.54), (0.3, 0.29), (0.1, 0.1))))
    assert page.row("<town>") == [["<town>", "30.00", "31.00", "1.667", "4.000", "i0", "1.0000"]]
    assert page.row("other")[0][3:6] == ["1.667", "4.000", "i0"]  # it became less
    turned = Page(alignment.section(values((0.5, 0.1), (0.1, 0.5))))
    assert turned.row("<town>")[0][-1] == "-1.0000"


def test_each_image_has_its_shares_before_and_after():
    page = Page(alignment.section(values((0.5, 0.54), (0.3, 0.29))))
    assert page.row("i0") == [["i0", "4.000", "50.00 → 46.00", "50.00 → 54.00"]]
    assert page.row("i1") == [["i1", "1.000", "70.00 → 71.00", "30.00 → 29.00"]]
    circles = [attributes for tag, attributes in page.elements if tag == "circle"]
    assert len(circles) == 4 and "before alignment, %" in page.texts


def test_a_single_image_has_the_change_of_each_class_and_no_correlation():
    page = Page(alignment.section(values((0.5, 0.54))))
    assert page.row("<town>") == [["<town>", "50.00", "54.00", "4.000"]]
    assert not page.row("i0") and not [1 for tag, _ in page.elements if tag == "svg"]


def test_a_mask_without_a_class_has_dashes_and_counts_in_no_mean():
    page = Page(alignment.section(values((0.5, 0.54), (math.nan, math.nan))))
    assert page.row("<town>") == [["<town>", "50.00", "54.00", "4.000", "4.000", "i0", "–"]]
    assert page.row("i1") == [["i1", "0.000", "– → –", "– → –"]]


def test_many_images_are_cut_and_many_classes_have_four_plots(monkeypatch):
    monkeypatch.setattr(alignment, "ROWS", 2)
    six = [(str(number), (0, 0, 0)) for number in range(6)]
    shares = [
        {"image": f"i{n}", "before": [0.1] * 6, "after": [0.1, 0.2, 0.3, 0.4, 0.5, 0.11]}
        for n in "abc"
    ]
    page = Page(alignment.section(values(classes=six, images=shares, samples=[])))
    assert "1 more images: alignment.csv." in page.texts and not page.row("ic")
    titles = [text for text in page.texts if text.startswith("Share of")]
    assert titles == ["Share of 1", "Share of 2", "Share of 3", "Share of 4"]


@pytest.mark.parametrize("given", [True, False])
def test_the_report_has_the_section_only_for_aligned_masks(given):
    run = {"title": "t", "classes": [("a", (0, 0, 0))], "matrix": [[1]]}
    if given:
        run["alignment"] = values((0.5, 0.54), (0.3, 0.29))
    page = Page(report.html(run))
    assert ("Alignment" in page.texts) == given
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [picture["alt"] for picture in pictures] == ["mask before", "mask after"] * given


def test_a_page_of_its_own_has_the_options_that_are_given():
    options = {"source": "a<b>.tif", "like": None, "report": True, "method": "mode"}
    page = Page(alignment.html("a<b>.tif aligned", values((0.5, 0.54)), options))
    assert page.row("source") == [["source", "a<b>.tif"]] and page.row("method")
    assert not page.row("like") and not page.row("report") and page.open == []
