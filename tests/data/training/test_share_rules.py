"""Windows chosen by the share of classes: data/training/share_rules.py."""

from dataclasses import replace

import numpy as np
import pytest
import small
from products import write
from small import scene, whole

import train
from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Window
from data.raster import cog, geotiff
from data.training import share_rules
from data.training.windows import all_windows, class_counts

NAMES = ["other", "non-residential", "roads, paved", "sea"]
TABLE = ClassTable.from_records(
    "towns",
    [{"code": "0", "name": "no data", "color": "#000000", "ignore": "true"}]
    + [
        {"code": str(code), "name": NAMES[label], "color": "#000000"}
        for code, label in ((1, 0), (250, 1), (7, 2), (8, 2), (9, 3))
    ],
)


def keep(*words) -> list[share_rules.Rule]:
    return share_rules.rules("--keep-share", words, TABLE)


# The words.


def test_classes_are_named_or_coded_and_a_name_may_have_a_comma():
    assert keep("non-residential, sea", "0.17", "0.85") == [
        ("--keep-share non-residential, sea 0.17 0.85", (1, 3), False, 0.17, 0.85)
    ]
    assert [rule.labels for rule in keep("roads, paved", "0", "1", "7,sea,8", "0", "1")] == [
        (2,),
        (2, 3),  # 7 and 8 are one class
    ]
    assert keep("scl:3,8", "0", "0.1") == [("--keep-share scl:3,8 0 0.1", (3, 8), True, 0, 0.1)]
    colours = ClassTable.load("deepglobe")
    for code in ("#00ffff", "#00FFFF"):
        assert share_rules.label(code, colours, "--x") == 0


@pytest.mark.parametrize(("words", "message"), [
    (("swamp", "0", "1"), "--keep-share swamp: no such class; the classes are other, non-resid"),
    (("sea,swamp", "0", "1"), "--keep-share swamp: no such class"),
    (("0", "0", "1"), "--keep-share 0: no such class"),  # a code that the table ignores
    (("sea,", "0", "1"), "--keep-share : no such class"),
    (("sea", "0.5", "0.2"), "--keep-share sea 0.5 0.2: 0.5 is above 0.2"),
    (("sea", "0", "85"), "--keep-share sea 0 85: 85 must be a number at least 0 and at most 1"),
    (("sea", "nan", "1"), "nan must be"),
    (("sea", "low", "1"), "--keep-share sea low 1: .*'low'; give two numbers behind the classes"),
    (("scl:clouds", "0", "1"), "scl:clouds 0 1: the scene classification has the classes 1 to 11"),
    (("scl:0", "0", "1"), "has the classes 1 to 11"),
    (("scl:", "0", "1"), "has the classes 1 to 11"),
])  # fmt: skip
def test_wrong_words_are_one_line(words, message):
    with pytest.raises(InputError, match=message) as error:
        keep(*words)
    assert "\n" not in str(error.value)


def test_times_are_1_or_more():
    assert share_rules.rules("--oversample-share", ["sea", "0.05", "4"], TABLE)[0].second == 4
    for times in ("0.5", "inf", "x"):
        with pytest.raises(InputError, match=f"--oversample-share sea 0.05 {times}: "):
            share_rules.rules("--oversample-share", ["sea", "0.05", times], TABLE)


def test_the_options_may_be_given_several_times():
    args = train.parse("--keep-share sea 0 0.5 --stride 8 --keep-share 7 0.1 1".split())
    assert args.keep_share == ["sea", "0", "0.5", "7", "0.1", "1"] and args.stride == 8
    assert args.oversample_share == []


# The windows.


def some() -> small.Scene:
    """A row of four windows of 2 x 2 pixels: 0, 1/2, 2/3 and 1 of their labels are 1 or 3."""
    labels = [[0, 0, 1, 0, 1, 3, 3, 3], [0, 0, 0, 1, 2, IGNORE, 3, IGNORE]]
    return scene(2, 8, labels=np.array(labels, np.uint8))


def chosen(rules, scenes, size=2, stride=0) -> tuple[list, list[str]]:
    items = all_windows(scenes, size, stride)
    counts, said = class_counts(scenes, items, 4), []
    kept, left = share_rules.keep(scenes, items, counts, rules, said.append)
    assert (left == class_counts(scenes, kept, 4)).all()
    return kept, said


def test_windows_between_both_limits_are_kept_and_the_others_told():
    kept, said = chosen(keep("non-residential,sea", "0.5", "0.9"), [some()])
    assert [item.window.col for item in kept] == [2, 4]
    assert said == [
        "--keep-share non-residential, sea 0.5 0.9: left out 2 of 4 windows (1 with less, 1 with "
        "more)"
    ]


def test_a_window_must_pass_every_rule():
    kept, said = chosen(keep("non-residential", "0.1", "1", "sea", "0", "0.1"), [some()])
    assert [item.window.col for item in kept] == [2]
    assert said[1].endswith(": left out 1 of 2 windows (0 with less, 1 with more)")


def test_if_no_window_is_left_the_shares_are_told():
    with pytest.raises(InputError, match=r"sea 0.6 0.9: no window is left; the shares of 4 windows "
                       r"are 0 to 1; give other limits"):  # fmt: skip
        chosen(keep("sea", "0.6", "0.9"), [some()])
    with pytest.raises(InputError, match="no window is left"):  # but one that --stride added is
        chosen(
            keep("sea", "0.5", "0.5"), [scene(1, 6, labels=np.array([[0, 0, 0, 0, 3, 3]]))], 2, 1
        )


def test_the_whole_window_counts_not_the_part_that_it_owns():
    labels = np.array([[0, 0, 0, 3, 3, 3]] * 4, np.uint8)  # windows of columns 0 to 3 and 2 to 5
    kept, _ = chosen(keep("sea", "0.25", "0.25"), [scene(4, 6, labels=labels)], size=4)
    assert [item.window.col for item in kept] == [0]


@pytest.mark.parametrize("seed", range(5))
def test_random_windows_are_kept_as_a_naive_count_says(seed):
    random = np.random.default_rng(seed)
    codes = [0, 1, 2, 3, IGNORE]
    scenes = [
        scene(*s, labels=random.choice(codes, s).astype(np.uint8)) for s in ((17, 9), (5, 30))
    ]
    labels = random.permutation(4)[:2].tolist()
    low, high = sorted(random.uniform(0.2, 0.8, 2).round(2).tolist())
    words = (",".join(str([1, 250, 7, 9][label]) for label in labels), str(low), str(high))
    expected = []
    for item in all_windows(scenes, 4, 3):
        found = known = 0
        for row in range(item.window.row, item.window.row + item.window.height):
            for col in range(item.window.col, item.window.col + item.window.width):
                value = scenes[item.scene].labels[row, col]
                known += value != IGNORE
                found += value in labels
        if low <= found / known <= high:
            expected.append(item)
    assert expected and chosen(keep(*words), scenes, 4, 3)[0] == expected


def classified(*dates) -> small.Scene:
    """A scene of two windows of 1 x 4 pixels with one band and SCL at each date."""
    image = np.array([plane for codes in dates for plane in ([[1] * 8], [codes])], np.uint16)
    return replace(scene(1, 8, image=image), scl=tuple(range(1, 2 * len(dates), 2)))


def test_clouds_at_any_date_count_and_pixels_without_a_class_do_not():
    one, two = [0, 4, 8, 4, 4, 4, 4, 3], [0, 9, 4, 4, 4, 4, 4, 4]
    assert chosen(keep("scl:3,8,9,10", "0", "0.3"), [classified(one)], 4)[0] == [
        whole(0, Window(0, 4, 1, 4))
    ]  # 1 of 3 pixels in the first window, 1 of 4 in the second
    clouds, first = keep("scl:3,8,9,10", "0", "1")[0], Window(0, 0, 1, 4)
    assert share_rules.share(classified(one), first, clouds) == 1 / 3
    assert share_rules.share(classified(one, two), first, clouds) == 2 / 3
    assert share_rules.share(classified([0] * 8), first, clouds) == 0


def test_a_scene_without_scene_classification_is_an_error_that_names_it():
    with pytest.raises(
        InputError, match=r"scene\.tif: has no band SCL, but --keep-share scl:11 0 "
    ):
        chosen(keep("scl:11", "0", "0.5"), [some()])


# How often.


def factors(threshold, *words) -> tuple[list | None, list[str]]:
    said: list[str] = []
    rules = share_rules.rules("--oversample-share", words, TABLE)
    items = all_windows([some()], 2)
    counts = class_counts([some()], items, 4)
    found = share_rules.draw_factors([some()], items, counts, threshold, rules, said.append)
    return None if found is None else found.tolist(), said


def test_windows_with_more_than_the_share_are_drawn_times_as_often_and_told():
    assert factors(0) == (None, [])
    assert factors(0, "sea,250", "0.5", "3") == (
        [1, 1, 3, 3],
        ["--oversample-share sea, non-residential 0.5 3: 2 of 4 training windows are drawn 3 times "
         "as often"],
    )  # fmt: skip


def test_the_largest_factor_of_all_rules_counts():
    assert factors(0, "250", "0.3", "3", "sea", "0.3", "2")[0] == [1, 3, 3, 2]
    # Class 2 is in one window of four, classes 0, 1 and 3 in two: sqrt(1 / 0.25), sqrt(1 / 0.5).
    found, said = factors(0.999, "250", "0.4", "1.5")
    assert found == pytest.approx([0.999**0.5 * f for f in (2**0.5, 1.5 / 0.999**0.5, 2, 2**0.5)])
    assert said[0] == "--oversample 0.999: 4 of 4 training windows are drawn up to 2 times as often"


# From the command line to batches.


def test_a_run_keeps_and_repeats_windows_and_its_validation_is_that_of_the_tiling(tmp_path):
    plain, _ = small.load(small.options(tmp_path, size=16))
    rule = ["water", "0.1", "0.9"]
    options = {"size": 16, "stride": 8, "keep_share": rule, "oversample_share": ["20", "0.5", "3"]}
    data, said = small.load(small.options(tmp_path, **options))
    assert "4 scenes, 100 windows of 16 x 16 (64 added by --stride 8, for training only)" in said
    assert "--keep-share water 0.1 0.9: left out " in said
    counts = class_counts(data.training.scenes, data.training.items, 2)
    water = counts[:, 1] / counts.sum(1)
    assert ((water >= 0.1) & (water <= 0.9)).all() and len(water) > len(plain.training) // 2
    assert data.factors.tolist() == np.where(water > 0.5, 3, 1).tolist()
    assert f": {(water > 0.5).sum()} of {len(water)} training windows are drawn 3 times" in said
    assert any(item.own is None for item in data.training.items)
    assert all(item.own for item in data.validation.items)
    few, said = small.load(small.options(tmp_path, **options, overfit=3))
    assert len(few.validation) == 3 and "--overfit: the windows of --stride are not added" in said
    assert "added by --stride" not in said
    assert len(few.factors) == len(few.training) and all(i.own for i in few.training.items)


def test_a_stride_above_the_side_of_the_windows_is_an_error(tmp_path):
    with pytest.raises(InputError, match="--stride 17: is above the side of the windows, 16"):
        small.load(small.options(tmp_path, size=16, stride=17))


def test_a_wrong_rule_is_an_error_before_any_scene_is_prepared(tmp_path):
    for option in ("keep_share", "oversample_share"):
        with pytest.raises(InputError, match="swamp: no such class; the classes are land, water"):
            small.load(small.options(tmp_path, **{option: ["swamp", "0", "1"]}))
    assert not (tmp_path / "cache").exists()


def test_cloudy_windows_of_two_stacked_products_are_left_out(tmp_path):
    random = np.random.default_rng(0)
    images, clouds = tmp_path / "images", np.full((8, 8), 4)
    clouds[:4, :4] = 9
    for day, codes in ((27, np.full((8, 8), 5)), (28, clouds)):
        red, nir = random.integers(1500, 4000, (2, 16, 16))
        write(images, {("B04", 10): red, ("B08", 10): nir, ("SCL", 20): codes}, day=day)
    with small.pipeline.inputs.open_image([next(images.iterdir())]) as product:
        mask = random.choice([10, 20], (16, 16)).astype(np.uint8)
        cog.write(tmp_path / "mask_T32TPS.tif", mask, product.grid)
    (tmp_path / "t.csv").write_text(small.TABLE)
    given = {
        "images": [images],
        "masks": [tmp_path / "mask_T32TPS.tif"],
        "classes": tmp_path / "t.csv",
    }
    given |= {"stack_dates": True, "size": 8, "validation": 0.3}
    args = small.options(tmp_path, **given, keep_share=["scl:8,9", "0", "0.2"])
    for _ in range(2):  # prepared, then from the cache
        data, said = small.load(args)
        assert "scl:8,9 0 0.2: left out 1 of 4 windows (0 with less, 1 with more)" in said
        assert data.checkpoint["bands"] == ["Red", "NIR", "Red@2", "NIR@2"]
        items = data.training.items + data.validation.items
        assert sorted((item.window.row, item.window.col) for item in items) == [
            (0, 8), (8, 0), (8, 8),
        ]  # fmt: skip


def test_a_band_named_by_hand_chooses_windows_and_is_no_input(tmp_path):
    args = small.options(tmp_path)
    for number, path in enumerate(sorted(args.images[0].iterdir())):
        with geotiff.Raster(path) as raster:
            pixels, grid = raster.read(), raster.grid
        cog.write(
            path, np.stack([*pixels[:2], np.full_like(pixels[0], 4 + 7 * (number == 2))]), grid
        )
    args.bands, args.keep_share = ["Green", "Red", "SCL"], ["scl:11", "0", "0.5"]
    data, said = small.load(args)
    assert "scl:11 0 0.5: left out 1 of 4 windows" in said
    assert data.checkpoint["bands"] == ["Green", "Red"] and data.training.channels == 2
    names = {item.scene for item in data.training.items + data.validation.items}
    assert names == {0, 1, 3}
