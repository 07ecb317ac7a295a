"""Which mask belongs to which image: worked examples, then random names with common affixes."""

import os
import random
from pathlib import Path

import pytest

from data.files import InputError
from data.input import pairing


def names(pairs) -> list[tuple[str, str]]:
    return [(str(image), str(mask)) for image, mask in pairs]


def pair(images: list[str], masks: list[str], **options):
    return names(pairing.pair([Path(p) for p in images], [Path(p) for p in masks], **options))


def test_masks_are_matched_by_stem_before_the_last_part_of_the_name():
    assert pair(["i/a.tif", "i/b.tif"], ["m/b.png", "m/a.png"]) == [
        ("i/a.tif", "m/a.png"),
        ("i/b.tif", "m/b.png"),
    ]
    assert pair(["i/town_01.tif", "i/town_02.tif"], ["m/esm_02.tif", "m/esm_01.tif"]) == [
        ("i/town_01.tif", "m/esm_01.tif"),
        ("i/town_02.tif", "m/esm_02.tif"),
    ]
    # tile_0_300 and tile_300_300 end alike; the whole stem decides
    tiles = ["tile_0_300", "tile_300_300"]
    assert pair([f"i/{t}.tif" for t in tiles], [f"m/{t}.tif" for t in tiles])[0] == (
        "i/tile_0_300.tif",
        "m/tile_0_300.tif",
    )


def test_names_that_repeat_from_folder_to_folder_take_the_mask_nearby():
    images = [f"Tile {n}/images/part_1.jpg" for n in (1, 2)]
    masks = [f"Tile {n}/masks/part_1.png" for n in (1, 2)]
    assert pair(images, masks) == list(zip(images, masks))


def test_two_dates_share_a_mask_and_a_single_mask_serves_all():
    assert pair(["april_x.tif", "august_x.tif", "may_y.tif"], ["cover_x.tif", "cover_y.tif"]) == [
        ("april_x.tif", "cover_x.tif"),
        ("august_x.tif", "cover_x.tif"),
        ("may_y.tif", "cover_y.tif"),
    ]
    assert pair(["april.tif", "august.tif"], ["cover.tif"])[1] == ("august.tif", "cover.tif")


def test_a_single_mask_that_is_one_images_own_serves_no_other():
    """Without a CRS, a missing mask of the other image would not be noticed."""
    with pytest.raises(InputError, match=r"1 images without a mask \(b\.png\)"):
        pair(["i/a.png", "i/b.png"], ["m/a.png"])
    with pytest.raises(InputError, match=r"1 images without a mask \(s_1\.tif\)"):
        pair(["s_0.tif", "s_1.tif"], ["m_0.tif"])


def test_all_that_does_not_match_is_listed_in_one_error():
    with pytest.raises(InputError) as error:
        pair(["i/a.tif", "i/b.tif", "i/c.tif"], ["m/a.tif", "m/x.tif", "m/y.tif"])
    for part in (
        "2 images without a mask (b.tif, c.tif)",
        "2 masks without an image (x.tif, y.tif)",
    ):
        assert part in str(error.value)
    several = r"1 images with several masks \(a\.tif: a\.tif, a\.png\)"
    with pytest.raises(InputError, match=several):
        pair(["i/a.tif", "i/b.tif"], ["m/a.tif", "m/a.png", "m/b.tif"])
    assert pair(["i/a.tif"], ["m/a.tif", "m/x.tif"], spare_masks=True) == [("i/a.tif", "m/a.tif")]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}_sat.jpg", "{}_mask.png"),
        ("car{}.png", "car{}_mask.png"),
        ("img-{}.tif", "mask_{}.TIF"),
        ("{}.tif", "{}_label.tif"),
        ("top_2_{}_RGB.tif", "top_2_{}_label.tif"),
        ("S2_2019_{}.tif", "esm_2018_{}.tif"),
        ("town {}.tif", "esm ({}).tif"),
    ],
)
def test_words_that_all_images_or_all_masks_have_do_not_count(image, mask):
    images, masks = ([f"{form.format(n)}" for n in (9, 10, 119)] for form in (image, mask))
    assert pair(images, masks[::-1]) == list(zip(images, masks))
    with pytest.raises(InputError) as error:
        pair(images, masks[1:])
    assert f": 1 images without a mask ({images[0]}); give" in str(error.value)
    with pytest.raises(InputError) as error:
        pair(images[1:], masks)
    assert f": 1 masks without an image ({masks[0]}); give" in str(error.value)
    assert pair(images[1:2], masks, spare_masks=True) == [(images[1], masks[1])]


def test_the_namesake_of_one_image_is_not_the_mask_of_another():
    images = ["north_1.png", "south_1.png", "north_2.png", "south_2.png"]
    for masks in (["north_1.png", "north_2.png", "south_2.png"], ["north_1.png", "south_2.png"]):
        with pytest.raises(InputError, match=r"images without a mask \(.*south_1.png"):
            pair(images, masks)
    # The masks of south_1 and north_2 only: their last parts fit, but their names say more.
    with pytest.raises(InputError, match=r"2 images without a mask \(north_1.png, south_2.png\)"):
        pair(["north_1.png", "south_2.png"], ["south_1.png", "north_2.png"])


def test_numbers_are_compared_whole_and_leading_zeros_count():
    for images, masks in (
        (["s_10.tif", "s_11.tif"], ["m_0.tif", "m_1.tif"]),
        (["s_1.tif", "s_2.tif"], ["m_01.tif", "m_02.tif"]),
    ):
        with pytest.raises(InputError, match="2 images without a mask"):
            pair(images, masks)


def test_words_that_some_masks_have_count_and_numbers_of_one_image_do():
    masks = ["m_10_1", "m_10_2", "m_1"]
    assert pair(["s_10_1", "s_10_2"], masks, spare_masks=True) == [
        ("s_10_1", "m_10_1"),
        ("s_10_2", "m_10_2"),
    ]
    for images in (["tile_3_7"], ["april_3_7", "august_3_7"]):
        with pytest.raises(InputError, match="without a mask"):
            pair(images, ["m_3", "m_4"], spare_masks=True)


def test_a_single_mask_that_names_a_word_of_one_image_serves_no_other():
    with pytest.raises(InputError, match="2 images without a mask"):
        pair(["north_a.tif", "south_b.tif"], ["cover north.tif"])


def test_two_names_of_the_same_words_are_a_doubt():
    with pytest.raises(InputError, match="several masks .a.tif: a_mask.tif, a-mask.tif"):
        pair(["a.tif", "b.tif"], ["a_mask.tif", "a-mask.tif", "b_mask.tif"])
    with pytest.raises(InputError, match="2 images without a mask .a_1.tif, a-1.tif"):
        pair(["a_1.tif", "a-1.tif", "b_2.tif"], ["a_1_mask.tif", "b_2_mask.tif"])


def test_without_its_mask_an_image_gets_none_from_another_folder():
    images = [f"Tile {n}/images/part_1.jpg" for n in (1, 2, 3)]
    masks = [f"Tile {n}/masks/part_1.png" for n in (1, 2, 3)]
    for n in range(3):
        with pytest.raises(InputError) as error:
            pair(images, masks[:n] + masks[n + 1 :])
        assert f": 1 images without a mask ({images[n]}); give" in str(error.value)
    # The image of tile 1 and the mask of tile 2 are missing; a second part lies beside each.
    more = [f"Tile {n}/{{}}s/part_2.png" for n in (1, 2)]
    with pytest.raises(InputError, match="1 images without a mask .part_1.jpg"):
        pair(
            [images[1], *(path.format("image") for path in more)],
            [masks[0], *(path.format("mask") for path in more)],
        )


def test_parallel_folders_and_folders_of_dates():
    images = [f"images/{city}/1.png" for city in "ab"]
    assert pair(images, ["masks/b/1.png", "masks/a/1.png"]) == [
        (images[0], "masks/a/1.png"),
        (images[1], "masks/b/1.png"),
    ]
    dates = ["april/7.tif", "august/7.tif"]
    assert pair(dates, ["m/7.tif", "m/8.tif"], spare_masks=True) == [(d, "m/7.tif") for d in dates]
    alike = [f"{scene}/sat.tif" for scene in "abc"], [f"{scene}/truth.tif" for scene in "abc"]
    assert pair(*alike) == list(zip(*alike))


def test_an_image_is_not_its_own_mask(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "masks").mkdir()
    os.symlink("../a.png", tmp_path / "masks/a.png")
    (tmp_path / "masks/b.png").touch()
    images, masks = ([folder / f"{name}.png" for name in "ab"] for folder in (tmp_path, tmp_path))
    with pytest.raises(InputError, match="2 images that are their own mask .a.png, b.png"):
        pairing.pair(images, masks)
    with pytest.raises(InputError, match="1 images that are their own mask .a.png"):
        pairing.pair(images, [tmp_path / f"masks/{name}.png" for name in "ab"])


AFFIXES = ["", "img_", "sat-", "IMG", "2019_"], ["", "_sat", "_mask", "-label", "_m", "_2018_gt"]
NAMES = ["{}", "{}_{}", "tile_{}_{}", "{}-{}-a", "north_{}", "south_{}", "M-{}-D_{}"]


@pytest.mark.parametrize("seed", range(200))
def test_random_names_are_paired_right_or_not_at_all(seed):
    """Names get a random prefix and ending. Then a mask or an image is taken away."""
    draw = random.Random(seed)
    form = draw.sample(NAMES, draw.choice([1, 1, 3]))
    names = {draw.choice(form).format(draw.randrange(9), draw.randrange(40)) for _ in range(9)}
    before, after, mask_before, mask_after = (draw.choice(AFFIXES[n % 2]) for n in range(4))
    truth = {f"{before}{n}{after}.tif": f"{mask_before}{n}{mask_after}.png" for n in sorted(names)}
    images, masks = ([*some] for some in (truth, truth.values()))
    draw.shuffle(images)
    draw.shuffle(masks)
    try:
        found = dict(pair(images, masks))
    except InputError:
        # IMG before a letter is another word. All else is understood.
        assert "IMG" in (before, mask_before)
        found = None
    assert found in (truth, None)
    gone = draw.choice(images)
    for kept_images, kept_masks, missing in (
        (images, [m for m in masks if m != truth[gone]], f"1 images without a mask ({gone})"),
        ([i for i in images if i != gone], masks, f"1 masks without an image ({truth[gone]})"),
    ):
        with pytest.raises(InputError) as error:
            pair(kept_images, kept_masks)
        if found:
            assert f": {missing}; give" in str(error.value)


@pytest.mark.parametrize(
    ("images", "masks", "missing"),
    [
        ("119_sat.jpg 120_sat.jpg", "121_mask.png", "119_sat.jpg, 120_sat.jpg"),
        ("119_sat.jpg", "120_mask.png", "119_sat.jpg"),
        ("img_2_119.jpg img_2_120.jpg", "mask_2_121.png", "img_2_119.jpg, img_2_120.jpg"),
        ("tile_3_7.tif", "mask_3_8.tif", "tile_3_7.tif"),
        ("tile_1_2.tif", "mask_2_1.tif", "tile_1_2.tif"),
        ("2018_07.tif 2019_07.tif", "mask_08.tif", "2018_07.tif, 2019_07.tif"),
    ],
)
def test_a_single_mask_of_another_number_serves_no_image(images, masks, missing):
    with pytest.raises(InputError) as error:
        pair(images.split(), masks.split())
    assert f"images without a mask ({missing}); 1 masks without an image ({masks})" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("images", "mask"),
    [
        ("scene.tif", "labels.tif"),
        ("town.tif", "esm_2012.tif"),
        ("town_2019.tif", "esm_2012.tif"),  # dates are no place
        ("town_3.tif", "esm_10m.tif"),  # nor is the size of a pixel
        ("town_3.tif", "esm_3_v2.tif"),
        ("april.tif august.tif", "cover_2012.tif"),
        ("april_07.tif august_07.tif", "cover_07.tif"),
        ("2018_07.tif 2019_07.tif", "mask_07.tif"),
        (
            "S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE "
            "S2A_MSIL2A_20240930T100559_N0511_R065_T32TPS_20240930T134009.SAFE",
            "mask_T32TPS.tif",
        ),
    ],
)
def test_a_single_mask_whose_name_contradicts_nothing_serves_all_images(images, mask):
    assert pair(images.split(), [mask]) == [(image, mask) for image in images.split()]


def test_the_order_and_the_sign_of_numbers_count():
    for here, there in (("1_2", "2_1"), ("-1_2", "1_2"), ("-1_2", "1_-2")):
        images, masks = ([f"{what}_{at}.png" for at in (here, there)] for what in ("img", "mask"))
        assert pair(images, masks[::-1]) == list(zip(images, masks))
        for first in (0, 1):
            with pytest.raises(InputError) as error:
                pair(images, masks[first : first + 1])
            assert f": 1 images without a mask ({images[1 - first]}); give" in str(error.value)
    # 1 is in all names, but it is a row of images and a column of masks.
    with pytest.raises(InputError, match="2 images without a mask"):
        pair(["img_1_2.png", "img_1_3.png"], ["mask_2_1.png", "mask_3_1.png"])


def test_only_dates_of_one_place_share_a_mask_by_the_last_part():
    for images in ("tile_3_{} tile_4_{}", "x3_{} x4_{}"):
        for ends in ("7", "78"):
            several = [name.format(end) for end in ends for name in images.split()]
            with pytest.raises(InputError, match=f"{len(several)} images without a mask"):
                pair(several, [f"mask_{end}" for end in ends])
    for ends in (["2018"], ["2018", "2019"], ["20180601", "20190601"]):
        several = [f"{town}_{end}" for end in ends for town in ("north", "south")]
        with pytest.raises(InputError, match=f"{len(several)} images without a mask"):
            pair(several, [f"label_{end}" for end in ends])
    # Of one image each, the date says which is meant.
    assert pair(["north_2018", "south_2019"], ["label_2018", "label_2019"])[1][1] == "label_2019"
    for dates in ("april august", "2018 2019", "2018_06 2018_08", "20180601 20180801"):
        images = [f"{date}_{place}" for place in ("07", "08") for date in dates.split()]
        found = pair(images, ["esm_10_07", "esm_10_08"])
        assert [mask for _, mask in found] == ["esm_10_07"] * 2 + ["esm_10_08"] * 2
    # The row 2 of both dates is not in the names of masks, and the 10 of all masks does not count.
    images = ["april_2_7", "august_2_7", "april_3_8"]
    assert [m for _, m in pair(images, ["e_10_7", "e_10_8"])] == ["e_10_7", "e_10_7", "e_10_8"]


def test_images_that_share_masks_are_told():
    images = [f"{town}_{n}.tif" for town in ("austin", "vienna") for n in (1, 2, 3)]
    pairs = pairing.pair([*map(Path, images)], [Path(f"gt_{n}.tif") for n in (1, 2, 3)])
    assert pairing.shared_masks(pairs) == [
        "6 images share 3 masks, such as austin_1.tif and vienna_1.tif: gt_1.tif"
    ]
    assert pairing.shared_masks(pairs[:3]) == pairing.shared_masks([]) == []
