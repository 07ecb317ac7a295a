"""From options to batches: data/training/pipeline.py."""

import errno

import numpy as np
import pytest
import small
import torch
from gpu import GPU, needs_gpu

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid
from data.raster import cog, geotiff
from data.training import loading, pipeline


def test_four_scenes_become_three_to_train_and_one_to_validate(tmp_path):
    data, said = small.load(small.options(tmp_path))
    assert (len(data.training), len(data.validation)) == (3, 1)
    assert "4 scenes, 4 windows of 48 x 48; left out: 0 without labels" in said
    assert "bands: Green, Red, NIR, SWIR1; indices: NDVI, MNDWI" in said
    image, target, _ = data.training[0]
    assert image.shape == (6, 48, 48) and target.shape == (48, 48)
    assert data.counts.sum() == 3 * 48 * 48
    land, water = data.counts.sum(0) / data.counts.sum()
    assert f"training labels: land {land:.2%}, water {water:.2%}" in said
    assert data.checkpoint["bands"] == small.BANDS and data.checkpoint["size"] == 48
    recipe = data.checkpoint["recipe"]  # for unet/export.py
    assert (recipe["nodata_value"], recipe["crs_resolution_metres"]) == (0, 10)
    assert recipe["bands"] == small.BANDS and recipe["indices"]["NDVI"] == ("NIR", "Red")
    assert [one["name"] for one in recipe["classes"]] == ["land", "water"]
    assert (
        data.checkpoint["nodata"] is None
        and small.load(small.options(tmp_path, nodata=7))[0].checkpoint["nodata"] == 7
    )


def test_rounded_colours_of_all_masks_are_one_line_also_from_the_cache(tmp_path):
    options = small.options(tmp_path)
    assert len(list(options.masks[0].iterdir())) == 4
    for number, path in enumerate(sorted(options.masks[0].iterdir())):
        with geotiff.Raster(path) as raster:
            codes, grid = raster.read()[0], raster.grid
        rgb = np.zeros((3, *codes.shape), np.uint8)
        rgb[2] = np.where(codes == 20, 255, 0)
        rgb[0, number] = 3  # a row of the first mask, of the second, ...
        cog.write(path, rgb, grid)
    records = [
        {"code": "#000000", "name": "land", "color": "#000000"},
        {"code": "#0000FF", "name": "water", "color": "#0000FF"},
    ]
    table = ClassTable.from_records("pure", records)
    for _ in range(2):
        said = []
        loading.load_scenes(options, table, tmp_path / "cache", said.append, said.append)
        line = (
            "masks: 192 pixels (2.08 %) were not pure colours; each channel was rounded to 0 or 255"
        )
        assert said.count(line) == 1


def test_classes_that_no_mask_has_are_named(tmp_path):
    assert "no mask has" not in small.load(small.options(tmp_path))[1]
    table = tmp_path / "other.csv"
    rows = "".join(f"{code},class {code},#0000{code}\n" for code in range(30, 40))
    table.write_text(small.TABLE + rows)
    names = ", ".join(f"class {code}" for code in range(30, 35))
    line = f"no mask has a pixel of: {names} and 5 more (10 of 12 classes); is other the table of "
    assert line in small.load(small.options(tmp_path, classes=table))[1]


def test_scaling_sees_training_windows_only(tmp_path):
    data, _ = small.load(small.options(tmp_path))
    # Make the validation scene a hundred times brighter: nothing that was fitted may change.
    scene = data.validation.scene_of(0)
    with geotiff.Raster(scene.image_path) as raster:
        pixels, grid = raster.read(), raster.grid
    cog.write(scene.image_path, pixels * 30, grid, nodata=0, descriptions=small.BANDS)
    again, _ = small.load(small.options(tmp_path))
    assert again.validation.scene_of(0).image_path == scene.image_path
    assert again.checkpoint["scaling"] == data.checkpoint["scaling"]


def test_the_usual_resolution_is_the_median_on_the_ground():
    pixels = [small.scene(transform=(side, 0, 5e5, 0, -side, 4.6e6)) for side in (10, 10, 30)]
    plain = small.scene(crs=None)
    assert pipeline.usual_resolution([*pixels, plain]) == pytest.approx(10, rel=1e-3)
    assert pipeline.usual_resolution([plain]) is None


def test_the_nodata_value_of_all_scenes_is_known_also_where_their_unit_was_changed():
    seven, other, none = (small.scene(nodata=value) for value in (7, 8, None))
    assert pipeline.common_nodata([seven, seven.in_unit(0, [10])]) == 7
    assert pipeline.common_nodata([seven, other]) is None
    assert pipeline.common_nodata([none]) is None
    assert pipeline.common_nodata([small.scene(nodata=float("nan"))]) is None


def test_indices_can_be_named_and_left_out(tmp_path):
    assert small.load(small.options(tmp_path, indices=[]))[0].training.channels == 4
    assert small.load(small.options(tmp_path, indices=["MNDWI"]))[0].training.channels == 5
    with pytest.raises(InputError, match="NDTI: needs bands that are not in"):
        small.load(small.options(tmp_path, indices=["NDTI"]))


def test_windows_of_skipped_classes_alone_are_left_out_and_counted(tmp_path):
    data, said = small.load(small.options(tmp_path, size=12, skip_only=["land"]))
    assert "with only land" in said and (data.counts[:, 1] > 0).all()
    with pytest.raises(InputError, match="swamp: no such class; the classes are land, water"):
        small.load(small.options(tmp_path, skip_only=["swamp"]))


def test_a_wrong_option_is_an_error_before_any_scene_is_prepared(tmp_path):
    with pytest.raises(InputError, match="--skip-only swamp"):
        small.load(small.options(tmp_path, skip_only=["swamp"]))
    assert not (tmp_path / "cache").exists()


def test_images_of_a_run_have_the_same_bands(tmp_path):
    args = small.options(tmp_path)
    grid = Grid(None, (1, 0, 0, 0, 1, 0), 48, 48)
    cog.write(tmp_path / "in/images/s_2.tif", np.ones((3, 48, 48), np.uint16), grid)
    with pytest.raises(
        InputError, match=r"s_2\.tif: 3 bands \(1, 2, 3\), but .*s_0\.tif has 4 \(Green, Red"
    ):
        small.load(args)
    cog.write(
        tmp_path / "in/images/s_2.tif",
        np.ones((4, 48, 48), np.uint16),
        grid,
        descriptions=small.BANDS[::-1],
    )
    with pytest.raises(
        InputError, match=r"s_2\.tif: 4 bands \(SWIR1, NIR, Red, Green\).* in the same order"
    ):
        small.load(args)


def test_masks_without_any_label_are_an_error(tmp_path):
    args = small.options(tmp_path)
    for path in (tmp_path / "in/masks").iterdir():
        with geotiff.Raster(path) as raster:
            grid = raster.grid
        cog.write(path, np.zeros((48, 48), np.uint8), grid)
    with pytest.raises(InputError, match="no window has a label"):
        small.load(args)


def test_overfit_trains_and_validates_on_the_same_windows_unaugmented(tmp_path):
    data, _ = small.load(small.options(tmp_path, overfit=2))
    assert set(data.training.items) == set(data.validation.items) and len(data.validation) == 2
    assert len(data.training) == 20 and data.training.augment is None


def test_the_windows_of_an_image_are_of_one_place(tmp_path):
    data, _ = small.load(small.options(tmp_path, size=32, overfit=16))
    assert sorted(data.validation.places_of_windows) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    scenes = [item.scene for item in data.validation.items]
    assert data.validation.places_of_windows == scenes
    places = tmp_path / "places.csv"
    places.write_text("image,place\ns_0,north\ns_1,north\ns_2,south\ns_3,south\n")
    named, _ = small.load(small.options(tmp_path, validation=0.5, places=str(places)))
    assert len({item.scene for item in named.validation.items}) == 2
    assert len(set(named.validation.places_of_windows)) == 1


def test_windows_that_overlap_count_a_pixel_once_in_validation_and_in_the_shares(tmp_path):
    """48 x 48 pixels in windows of 32: four windows a scene, and 1.8 times as many pixels."""
    data, said = small.load(small.options(tmp_path, size=32, overfit=16))
    assert len(data.validation) == 16
    counted = [(data.validation[n][1] != IGNORE).sum().item() for n in range(16)]
    assert sum(counted) == 4 * 48 * 48
    assert data.counts.sum() == 4 * 48 * 48  # 16 windows, each once
    water = 0.0
    for path in (tmp_path / "in/masks").iterdir():
        with geotiff.Raster(path) as raster:
            water += (raster.read() == 20).mean()
    assert f"water {water / 4:.2%}" in said
    assert all((data.training[n][1] != IGNORE).all() for n in range(16))


def test_big_images_are_cut_into_windows_of_128(tmp_path):
    images, masks, table = small.write(tmp_path / "big", count=1, size=300)
    data, said = small.load(small.options(tmp_path, images=[images], masks=[masks], classes=table))
    assert "1 scenes, 9 windows of 128 x 128" in said
    assert data.training[0][0].shape == (6, 128, 128)


def test_one_class_alone_is_told_and_the_training_goes_on(tmp_path):
    args = small.options(tmp_path)
    assert "teaches nothing" not in small.load(args)[1]
    for path in (tmp_path / "in/masks").iterdir():
        with geotiff.Raster(path) as raster:
            grid = raster.grid
        cog.write(path, np.full((48, 48), 20, np.uint8), grid)
    data, said = small.load(args)
    assert "all training labels are water: one class teaches nothing" in said
    assert len(data.training) == 3


def test_bands_without_names_are_told(tmp_path):
    args = small.options(tmp_path)
    for path in (tmp_path / "in/images").iterdir():
        with geotiff.Raster(path) as raster:
            cog.write(path, raster.read(), raster.grid, nodata=0)
    assert (
        "bands: 1, 2, 3, 4 (the files do not name them; their order counts)"
        in (small.load(args)[1])
    )


def test_remarks_of_images_and_masks_are_told_once_also_of_scenes_from_the_cache(
    tmp_path, monkeypatch
):
    opened = geotiff.Raster.__init__

    def remarking(self, path):
        opened(self, path)
        self.remarks.append(
            "its mask of pages is not used" if self.path.parent.name == "images" else "odd"
        )

    monkeypatch.setattr(geotiff.Raster, "__init__", remarking)
    args = small.options(tmp_path)
    for _ in range(2):
        said = small.load(args)[1].splitlines()
        assert said[0].endswith("s_0.tif and 3 more files: its mask of pages is not used")
        assert said[1].endswith("m_0.tif and 3 more files: odd")
        assert said[2] == f"prepared scenes: 0.1 MB in {tmp_path / 'cache'}"


def test_images_without_a_crs_are_told_where_others_have_one(tmp_path):
    args = small.options(tmp_path)
    assert "CRS" not in small.load(args)[1]
    with geotiff.Raster(tmp_path / "in/images/s_2.tif") as raster:
        pixels, plain = raster.read(), Grid(None, (1, 0, 0, 0, 1, 0), 48, 48)
    path = tmp_path / "in/images/s_2.tif"
    cog.write(path, pixels, plain, nodata=0, descriptions=small.BANDS)
    assert "1 of 4 images have no CRS, such as s_2" in small.load(args)[1]


def test_images_that_share_a_mask_are_told(tmp_path):
    args = small.options(tmp_path)
    images = tmp_path / "in/images"
    (images / "t_0.tif").write_bytes((images / "s_0.tif").read_bytes())
    (images / "s_1.tif").unlink()
    (tmp_path / "in/masks/m_1.tif").unlink()
    said = small.load(args)[1].splitlines()
    assert "2 images share 1 mask, such as s_0.tif and t_0.tif: m_0.tif" in said


def test_all_bad_files_are_listed_in_one_error(tmp_path):
    images, masks, table = small.write(tmp_path / "some", count=9, size=16)
    args = small.options(tmp_path, images=[images], masks=[masks], classes=table)
    (images / "s_3.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError) as alone:
        small.load(args)
    assert "s_3.tif: " in str(alone.value) and "; " not in str(alone.value).split("s_3.tif: ")[0]
    (masks / "m_5.tif").write_bytes(b"no raster")
    with pytest.raises(InputError) as both:
        small.load(args)
    assert str(both.value).startswith(f"{alone.value}; {masks / 'm_5.tif'}: ")
    for number in (0, 1, 2, 4, 6):
        (images / f"s_{number}.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError) as many:
        small.load(args)
    assert str(many.value).endswith("; and 2 more")
    assert [f"s_{n}.tif: " in str(many.value) for n in range(6)] == [True] * 5 + [False]
    assert "\n" not in str(many.value)


def test_a_full_disk_and_a_wrong_class_table_stop_at_the_first_file(tmp_path, monkeypatch):
    images, masks, table = small.write(tmp_path / "some", count=3, size=16)
    args = small.options(tmp_path, images=[images], masks=[masks], classes=table)
    table.write_text(small.TABLE.replace("20,water", "21,water"))
    (images / "s_2.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match="code 20 .*not in the class table") as error:
        small.load(args)
    assert "m_0.tif" in str(error.value) and "m_1.tif" not in str(error.value)
    tried = []

    def full(dates, *rest):
        tried.append(dates)
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "cache/labels.npy"))

    monkeypatch.setattr(loading, "prepare", full)
    with pytest.raises(OSError, match="No space"):
        small.load(args)
    assert len(tried) == 1

    def unreadable(dates, *rest):
        raise PermissionError(errno.EACCES, "Permission denied", str(dates[0]))

    monkeypatch.setattr(loading, "prepare", unreadable)
    with pytest.raises(InputError, match=r"s_0\.tif: Permission denied; .*s_2\.tif: Permission"):
        small.load(args)


@needs_gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_for_a_gpu_lie_in_pinned_memory_in_channels_last(tmp_path, workers):
    args = small.options(tmp_path, workers=workers)
    data, _ = small.load(args)
    batches = [pipeline.loaders(args, data, gpu, 0, 1)[1] for gpu in (True, False)]
    for one, other in zip(*batches, strict=True):
        assert [tensor.is_pinned() for tensor in one] == [True] * 3
        assert one[0].is_contiguous(memory_format=torch.channels_last)
        there = one[0].to(GPU, memory_format=torch.channels_last, non_blocking=True)
        assert torch.equal(there.cpu(), other[0]) and torch.equal(one[1], other[1])


def test_small_tiles_validate_as_a_whole(tmp_path):
    small.write(tmp_path / "in", 6)
    data, said = small.load(small.options(tmp_path, model=None, batch=None))
    assert data.training.size == 32 and data.validation.size == 48
    number = len(data.validation)
    assert f"the validation maps its {number} tiles whole, as predict.py does" in said
    assert all(item.window == item.own == (0, 0, 48, 48) for item in data.validation.items)
    held = {item.scene for item in data.validation.items}
    assert len(held) == number and held.isdisjoint(item.scene for item in data.training.items)
    args = small.options(tmp_path, model=None, batch=9)
    _, training, validation = pipeline.loaders(args, data, False, 0, 1)
    shapes = [tuple(next(iter(loader))[0].shape[2:]) for loader in (training, validation)]
    assert shapes == [(32, 32), (48, 48)]
    # 9 windows of 32 x 32 have the pixels of 4 windows of 48 x 48.
    assert validation.batch_sampler.size == 4


def test_windows_of_a_tile_that_also_trains_and_chosen_windows_stay_windows(tmp_path):
    small.write(tmp_path / "in", 6)
    for changes in ({"split": "random"}, {"overfit": 2}, {"skip_only": ["water"]}):
        data, said = small.load(small.options(tmp_path, model=None, batch=None, **changes))
        assert data.validation.size == 32 and "tiles whole" not in said
