"""data/resample.py: rasters of classes on other grids, as arrays and strip by strip."""

import threading
from collections import Counter

import numpy as np
import pytest
import torch
from landcover import CASES, FOUR, NO, UTM, grid, naive, patches, plain
from pyproj import CRS, Transformer

from data import resample
from data.files import InputError
from data.grid import IDENTITY, Grid, Window
from data.raster.targetgrid import target_grid_for
from data.raster.tiles import parts
from data.raster.warp import between
from data.resample import reproject, strips

# --- by hand


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_the_same_grid_gives_the_same_array(method):
    assert (reproject(FOUR, plain(4, 4), plain(4, 4), method, NO) == FOUR).all()


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_a_grid_one_row_down_and_two_columns_left_shows_no_data_where_it_leaves_the_source(method):
    out = reproject(FOUR, plain(4, 4), plain(4, 4, left=-2, top=-1), method, NO)
    assert out.tolist() == [[NO, NO, 1, 5], [NO, NO, 4, 4], [NO, NO, 4, 7], [NO, NO, NO, NO]]


def test_nearest_takes_the_pixel_under_the_centre():
    # The centre of each 2 x 2 block is the corner of its last pixel, and an edge belongs to the
    # pixel behind it.
    assert reproject(FOUR, plain(4, 4), plain(2, 2, 2), "nearest", NO).tolist() == [[5, 3], [7, 8]]
    assert reproject(FOUR, plain(4, 4), plain(2, 2, 2, -0.1, 0.1), "nearest", NO).tolist() == [
        [1, 2],
        [4, 6],
    ]


def test_mode_counts_two_by_two_pixels():
    # 1 1 / 1 5: one; 2 3 / 2 3: a tie, the lower; 4 4 / 4 7: four; 6 6 / 6 8: six.
    assert reproject(FOUR, plain(4, 4), plain(2, 2, 2), "mode", NO).tolist() == [[1, 2], [4, 6]]


def test_no_data_does_not_vote_unless_it_is_a_class():
    source = np.array([[0, 0, 9, 0], [0, 7, 0, 0]], np.uint8)
    assert reproject(source, plain(2, 4), plain(1, 2, 2), "mode", 0).tolist() == [[7, 9]]
    assert reproject(source, plain(2, 4), plain(1, 2, 2), "mode", None).tolist() == [[0, 0]]


def test_where_there_is_only_no_data_the_result_is_no_data():
    source = np.array([[3, 3, 3, 3], [3, 3, 3, 3], [3, 1, 3, 3]], np.uint8)
    assert reproject(source, plain(3, 4), plain(2, 2, 2), "mode", 3).tolist() == [[3, 3], [1, 3]]


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_finer_pixels_repeat_the_source(method):
    out = reproject(FOUR, plain(4, 4), plain(12, 12, 1 / 3), method, NO)
    assert (out == np.kron(FOUR, np.ones((3, 3), np.uint8))).all()


def test_a_finer_pixel_without_a_vote_takes_the_nearest_and_one_with_a_vote_its_vote():
    # Pixels of 2/3: the centres 0.5 and 1.5 lie in the pixels 0 and 2; pixel 1 has its own centre
    # at 1.0, an edge.
    out = reproject(np.array([[1, 2]], np.uint8), plain(1, 2), plain(1, 3, 2 / 3), "mode", NO)
    assert out.tolist() == [[1, 2, 2]]


def test_a_south_up_source_is_turned_over():
    out = reproject(FOUR, plain(4, 4, top=-4, up=True), plain(4, 4), "nearest", NO)
    assert (out == FOUR[::-1]).all()


def test_a_target_turned_by_90_degrees_is_the_turned_array():
    target = Grid(CRS.from_epsg(3857), (0, 1, 0, 1, 0, -4), 4, 4)  # rows go east, columns go north
    assert (reproject(FOUR, plain(4, 4), target, "nearest", NO) == np.rot90(FOUR, -1)).all()
    assert (reproject(FOUR, plain(4, 4), target, "mode", NO) == np.rot90(FOUR, -1)).all()


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_one_pixel_onto_one_pixel(method):
    one = np.array([[7]], np.uint8)
    assert reproject(one, plain(1, 1), plain(1, 1, 0.6, 0.2, -0.2), method, NO).tolist() == [[7]]
    assert reproject(one, plain(1, 1), plain(1, 1, 1.8, -0.4, 0.4), method, NO).tolist() == [[7]]
    utm = grid("EPSG:32631", 5e5, 5e6, 1000, 1, 1)
    assert reproject(one, utm, target_grid_for(utm, "EPSG:3857", 100), method, NO).max() == NO
    assert set(
        np.unique(reproject(one, utm, target_grid_for(utm, "EPSG:3857", 100), method, NO))
    ) == {7, NO}


def test_weights_let_a_road_of_one_pixel_survive():
    field = np.ones((10, 10), np.uint8)
    field[:, 3] = 2  # 10 votes of 100
    assert reproject(field, plain(10, 10), plain(1, 1, 10), "mode", NO).tolist() == [[1]]
    # A weight of 9 makes it a tie, which the lower class wins.
    for weight, winner in ((8.9, 1), (9, 1), (9.1, 2)):
        weights = {2: weight}
        out = reproject(field, plain(10, 10), plain(1, 1, 10), "mode", NO, vote_weights=weights)
        assert out.tolist() == [[winner]]


def test_inverse_weights_count_the_shares_of_classes():
    source = np.zeros((4, 4), np.uint8)
    source[0, 0] = source[3, 3] = 1
    source[2, 0] = NO

    def resampled(target):
        made = reproject(source, plain(4, 4), target, "mode", NO, vote_weights="inverse")
        return made.tolist()

    # 13 zeros and 2 ones: a one weighs 6.5 zeros.
    assert resampled(plain(2, 2, 2)) == [[1, 0], [0, 1]]
    assert resampled(plain(1, 1, 4)) == [[0]]  # a tie: 13/13 = 2/2
    # In the right half there are 7 zeros and 1 one.
    assert resampled(plain(2, 1, 2, left=2)) == [[0], [1]]


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", ">u2", "int16", "int32", "uint32", "int64", "uint64"]
)
def test_any_integer_type_and_any_codes(dtype):
    info = np.iinfo(dtype)
    codes = np.array([info.max, info.min, 3, info.max - 1], dtype)
    source = codes[np.array([[0, 0, 1, 1], [0, 2, 3, 1], [2, 2, 3, 0], [1, 2, 3, 3]])]
    out = reproject(source, plain(4, 4), plain(2, 2, 2), "mode", int(info.max))
    assert out.dtype == np.dtype(dtype).newbyteorder("=")
    assert (out == codes[[[2, 1], [2, 3]]].astype(out.dtype)).all()
    assert (reproject(source, plain(4, 4), plain(4, 4), "nearest", int(info.max)) == source).all()


def test_more_classes_than_any_table_holds():
    identities = np.arange(120 * 120, dtype=np.int32).reshape(120, 120)
    out = reproject(identities, plain(120, 120), plain(40, 40, 3), "mode", -1)
    assert (
        out == identities[::3, ::3]
    ).all()  # all have one vote: the lowest is the upper left one


def test_bands_are_done_one_by_one():
    out = reproject(np.stack([FOUR, FOUR + 10]), plain(4, 4), plain(2, 2, 2), "mode", NO)
    assert out.tolist() == [[[1, 2], [4, 6]], [[11, 12], [14, 16]]]


def test_without_no_data_outside_is_the_largest_value():
    out = reproject(FOUR.astype(np.int16), plain(4, 4), plain(1, 2, left=-1), "nearest")
    assert out.tolist() == [[32767, 1]]


def test_without_crs_two_grids_lie_in_one_plane_but_two_pictures_do_not():
    source, target = grid(None, 0, 0, 1, 4, 4), grid(None, 0, 0, 2, 2, 2)
    assert reproject(FOUR, source, target, "mode", NO).tolist() == [[1, 2], [4, 6]]
    assert (
        reproject(FOUR, Grid(None, IDENTITY, 4, 4), Grid(None, IDENTITY, 4, 4), "nearest", NO)
        == FOUR
    ).all()
    with pytest.raises(InputError, match="neither raster has a CRS"):
        reproject(FOUR, Grid(None, IDENTITY, 4, 4), Grid(None, IDENTITY, 2, 2), "nearest", NO)


# --- against the naive reference


@pytest.mark.parametrize(
    "case, method",
    [(case, method) for case in CASES for method in ("nearest", "mode")]
    + [("1 m to 13.3 m", "weighted mode"), ("turned source", "weighted mode")],
)
def test_every_pixel_is_the_naive_one_at_threshold_0_and_999_in_1000_at_the_default(case, method):
    source_grid, target_grid = CASES[case]
    source = patches(source_grid.height, source_grid.width)
    source[40:60, 100:140] = NO
    weights = {2: 3.5, 7: 0.3} if method == "weighted mode" else None
    method = method.split()[-1]
    expected = naive(source, source_grid, target_grid, method, NO, weights)
    assert (expected != NO).sum() > 500
    assert (
        reproject(
            source, source_grid, target_grid, method, NO, vote_weights=weights, error_threshold=0
        )
        == expected
    ).all()
    assert (
        reproject(source, source_grid, target_grid, method, NO, vote_weights=weights) == expected
    ).mean() >= 0.999


@pytest.mark.parametrize("side, turn", [(64, 0), (64, 25), (128, 0)])
def test_mode_is_the_naive_one_where_a_target_ends_at_the_end_of_a_cell(side, turn):
    # A cell of coordinates is 64, 128, 256 ... pixels wide, the first that holds the grid. Only a
    # grid of just that size has a window that ends where the cell ends.
    source_grid = grid("EPSG:25831", 430_000, 4_610_000, 1, 10 * side, 10 * side)
    # The target lies inside the source, so that some votes at its rim come from beyond its centres.
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    left, top = 430_000 + 5 * side, 4_610_000 - 5 * side
    left, top = left - 3.5 * side * (cos - sin), top + 3.5 * side * (cos + sin)
    target_grid = grid("EPSG:32631", left + 0.3, top + 0.3, 7, side, side, turn)
    # Without neighbours of one class a single lost vote often changes the winner.
    source = np.random.default_rng(0).integers(0, 12, (10 * side, 10 * side), dtype=np.uint8)
    expected = naive(source, source_grid, target_grid, "mode")
    assert (expected != NO).all()
    assert (reproject(source, source_grid, target_grid, "mode", NO) == expected).mean() >= 0.999


@pytest.mark.parametrize("case", CASES)
def test_every_source_pixel_votes_exactly_once_whatever_the_tiles(case, monkeypatch):
    source_grid, target_grid = CASES[case]
    source = patches(source_grid.height, source_grid.width)
    backward, forward = between(source_grid, target_grid, 0.125)
    whole = Window(0, 0, target_grid.height, target_grid.width)
    extent = Window(0, 0, source_grid.height, source_grid.width)
    monkeypatch.setattr(resample, "PIECE", 10_000)

    def read(window):
        return source[
            window.row : window.row + window.height, window.col : window.col + window.width
        ]

    job = resample.Job(read, backward, forward, source.dtype, None, NO, {})

    def votes(tile):
        values, counts = resample.count_votes(job, tile, extent)
        return dict(zip(values, counts.numpy()))

    expected = votes(whole)
    total = {value: np.zeros((whole.height, whole.width), int) for value in expected}
    for tile in parts(whole, 37, 23):
        own = np.s_[tile.row : tile.row + tile.height, tile.col : tile.col + tile.width]
        for value, count in votes(tile).items():
            total[value][own] += count
    for value, count in expected.items():
        assert (total[value] == count).all()
    row, col = target_grid.rowcol(
        *Transformer.from_crs(source_grid.crs, target_grid.crs, always_xy=True).transform(
            *source_grid.xy(*(at + 0.5 for at in np.indices(source.shape)))
        )
    )
    inside = (row >= 0) & (row < whole.height) & (col >= 0) & (col < whole.width)
    voters = sum(count.sum() for count in total.values())
    # The coordinates have an error up to the threshold, which matters at the rim of the target.
    assert abs(voters - inside.sum()) <= 0.001 * source.size
    if inside.all() and abs(row - np.round(row)).min() > 0.1:
        assert voters == source.size


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_the_result_does_not_depend_on_strips_tiles_pieces_or_threads(method, monkeypatch):
    source_grid, target_grid = CASES["turned target"]
    source = patches(source_grid.height, source_grid.width)
    expected = reproject(source, source_grid, target_grid, method, NO)
    for name, value in {"TILE": 16, "PIECE": 2000, "MOST_PIXELS": 5000, "MOST_VOTES": 999}.items():
        monkeypatch.setattr(resample, name, value)
        out = reproject(source, source_grid, target_grid, method, NO, threads=1)
        assert (out == expected).all()
    assert (reproject(source, source_grid, target_grid, method, NO, threads=3) == expected).all()

    def read(window):
        return source[
            window.row : window.row + window.height, window.col : window.col + window.width
        ]

    parts = list(strips(read, source_grid, target_grid, method, NO, np.uint8, rows=4))
    assert max(map(len, parts)) <= 4 and (np.concatenate(parts) == expected).all()


def test_no_value_is_invented():
    random = np.random.default_rng(1)
    for seed in range(20):
        source_grid = grid(
            "EPSG:3035", 3.6e6, 2.1e6, random.uniform(5, 50), *random.integers(1, 90, 2), seed * 18
        )
        fitting = target_grid_for(source_grid, "EPSG:3857")
        moved = random.uniform(-0.3, 0.3, 2) * (fitting.width, fitting.height) * fitting.resolution
        a, b, c, d, e, f = fitting.transform
        target = Grid(
            fitting.crs, (a, b, c + moved[0], d, e, f + moved[1]), fitting.height, fitting.width
        )
        source = patches(source_grid.height, source_grid.width, seed=seed) * 3
        for method in ("nearest", "mode"):
            assert set(np.unique(reproject(source, source_grid, target, method, NO))) <= {
                *np.unique(source),
                NO,
            }


def test_a_world_map_from_a_european_one_is_no_data_beyond_europe():
    europe = grid("EPSG:3035", 2.5e6, 5.5e6, 1e4, 450, 400)
    world = grid("EPSG:4326", -180, 90, 0.5, 360, 720)
    source = patches(450, 400)
    for method in ("nearest", "mode"):
        out = reproject(source, europe, world, method, NO)
        assert (out == naive(source, europe, world, method)).mean() > 0.9995
        assert (
            (out[:, :200] == NO).all()
            and (out[200:] == NO).all()
            and (out[60:100, 370:400] != NO).all()
        )


# --- long runs of pixels, and tiles of one class


def test_seventy_thousand_pixels_in_a_row_vote_for_one_pixel():
    source = np.full((1, 70_001), 4, np.uint8)
    source[0, :35_001] = 9
    assert reproject(source, plain(1, 70_001), plain(1, 1, 70_001), "mode", NO).tolist() == [[9]]
    source[0, 0] = 4
    assert reproject(source, plain(1, 70_001), plain(1, 1, 70_001), "mode", NO).tolist() == [[4]]


@pytest.mark.parametrize("up", [False, True])
def test_a_target_around_a_source_of_one_class_is_no_data_beside_it(up):
    source, here = np.full((40, 40), 6, np.uint8), plain(40, 40, top=-40 if up else 0, up=up)
    there = plain(30, 30, 2, left=-7, top=5)
    assert (reproject(source, here, there, "mode", NO) == naive(source, here, there, "mode")).all()
    # Inside the source the whole target has the class, also where its pixels get no vote.
    for pixel in (0.3, 4):
        side = int(24 / pixel)
        made = reproject(source, here, plain(side, side, pixel, left=8, top=-8), "mode", NO)
        assert (made == 6).all()


def test_one_other_pixel_ends_the_search_for_a_single_class():
    source, here = np.full((700, 700), 6, np.uint8), plain(700, 700)
    inside = plain(90, 90, 7, left=35, top=-35)
    for row, col in ((40, 40), (650, 650)):  # in the first and in the last part that is read
        source[...] = 6
        source[row - 6 : row + 6, col - 6 : col + 6] = 2
        expected = naive(source, here, inside, "mode")
        assert (expected == 2).any()
        assert (reproject(source, here, inside, "mode", NO) == expected).all()


def test_a_tile_with_points_beyond_the_projection_is_not_filled_with_its_single_class():
    world = grid("EPSG:4326", -180, 90, 1, 180, 360)
    # The left limb of the globe: the tile reads from the inside of the world map.
    limb = grid("+proj=ortho +lat_0=10 +lon_0=20", -7e6, 1e6, 1e5, 20, 20)
    made = reproject(np.full((180, 360), 3, np.uint8), world, limb, "mode", NO)
    away = np.hypot(np.arange(20) * 1e5 - 6.95e6, np.arange(20)[:, None] * 1e5 - 0.95e6)
    # A pixel has half a diagonal of 71 km, and the radius of the globe is 6378 km.
    assert (made[away > 6.45e6] == NO).all() and (made[away < 6.3e6] == 3).all()


# --- against GDAL


def gdal(source, source_grid, target_grid, method, tolerance=0.125):
    """The result of GDAL's warper, through rasterio. Tolerance is its error threshold; 0 is not
    accepted.
    """
    rasterio = pytest.importorskip("rasterio")
    from rasterio.vrt import WarpedVRT

    height, width = source.shape
    here = dict(crs=source_grid.crs.to_wkt(), transform=rasterio.Affine(*source_grid.transform))
    there = dict(crs=target_grid.crs.to_wkt(), transform=rasterio.Affine(*target_grid.transform))
    there |= dict(
        height=target_grid.height,
        width=target_grid.width,
        resampling=rasterio.enums.Resampling[method],
    )
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=1, dtype="uint8", nodata=NO, **here
        ) as file:
            file.write(source, 1)
        with (
            memory.open() as file,
            WarpedVRT(file, tolerance=tolerance, nodata=NO, **there) as warped,
        ):
            return warped.read(1)


@pytest.mark.parametrize("case", CASES)
def test_nearest_is_gdals_except_where_a_centre_lies_on_an_edge(case):
    source_grid, target_grid = CASES[case]
    source = patches(source_grid.height, source_grid.width)
    source[40:60, 100:140] = NO
    ours = reproject(source, source_grid, target_grid, "nearest", NO, error_threshold=0)
    theirs = gdal(source, source_grid, target_grid, "nearest", 1e-9)
    place = between(source_grid, target_grid, 0)[0].exact(
        *(at + 0.5 for at in np.indices(theirs.shape))
    )
    on_edge = (abs(place - np.round(place)) < 1e-6).any(0)
    assert (ours == theirs)[~on_edge].all() and on_edge.mean() < 0.01


@pytest.mark.parametrize("case", ["3035 to 3857", "3035 to UTM", "turned source"])
def test_at_the_same_threshold_ours_is_nearer_to_the_naive_one_than_gdals(case):
    source_grid, target_grid = CASES[case]
    source = patches(source_grid.height, source_grid.width)
    expected = naive(source, source_grid, target_grid, "nearest")
    ours = (reproject(source, source_grid, target_grid, "nearest", NO) != expected).mean()
    assert ours < 0.0005 < (gdal(source, source_grid, target_grid, "nearest") != expected).mean()


ALIGNED = {
    "1 m to 10 m": (UTM, target_grid_for(UTM, "EPSG:32631", 10)),
    "1 m to 7 m": (UTM, grid("EPSG:25831", 430_003, 4_609_990, 7, 90, 80)),
    "1 m to 10 m in one CRS": (UTM, grid("EPSG:25831", 430_000, 4_610_000, 10, 70, 65)),
}


@pytest.mark.parametrize("case", ALIGNED)
def test_mode_is_gdals_where_the_pixels_are_aligned(case):
    source_grid, target_grid = ALIGNED[case]
    source = np.kron(patches(14, 13), np.ones((50, 50), np.uint8))
    ours = reproject(source, source_grid, target_grid, "mode", NO)
    theirs = gdal(source, source_grid, target_grid, "mode")
    assert (ours == theirs).mean() >= 0.995


@pytest.mark.parametrize("case", ["turned source", "turned target", "3035 to 3857"])
def test_where_gdals_mode_differs_ours_is_nearer_to_the_naive_one(case):
    source_grid, target_grid = CASES[case]
    source = patches(source_grid.height, source_grid.width)
    expected = naive(source, source_grid, target_grid, "mode")
    ours = (reproject(source, source_grid, target_grid, "mode", NO) == expected).mean()
    theirs = (gdal(source, source_grid, target_grid, "mode") == expected).mean()
    assert ours > 0.999 > theirs


def test_mistakes_of_a_programmer_are_value_errors():
    with pytest.raises(ValueError, match="'cubic' is not one of nearest, mode"):
        reproject(FOUR, plain(4, 4), plain(4, 4), "cubic")
    with pytest.raises(ValueError, match="does not fit a grid"):
        reproject(FOUR, plain(4, 5), plain(4, 4))
    with pytest.raises(InputError, match="pixels of type float64 are not classes"):
        reproject(FOUR.astype(float), plain(4, 4), plain(4, 4))
    with pytest.raises(InputError, match="the source has no CRS"):
        reproject(FOUR, grid(None, 0, 0, 1, 4, 4), plain(4, 4))


# --- size, threads


def test_a_raster_of_300000_squared_is_read_window_by_window():
    source_grid = grid("EPSG:25831", 300_000, 4_800_000, 1, 300_000, 300_000)
    target_grid = grid("EPSG:32631", 590_000, 4_510_000, 10, 1000, 600)
    pixels, lock = Counter(), threading.Lock()

    def read(window):
        assert (
            window.row >= 0
            and window.row + window.height <= 300_000
            and window.col + window.width <= 300_000
        )
        with lock:
            pixels["read"] += window.height * window.width
            pixels["largest"] = max(pixels["largest"], window.height * window.width)
        row = np.arange(window.row, window.row + window.height) // 100
        col = np.arange(window.col, window.col + window.width) // 100
        return ((row[:, None] * 7 + col) % 12).astype(np.uint8)

    for method, most in (("nearest", 2**23), ("mode", 2**20)):
        pixels.clear()
        first = next(strips(read, source_grid, target_grid, method, NO))
        row, col = np.indices(first.shape)
        row, col = (290_000 + row * 10) // 100, (290_000 + col * 10) // 100
        assert (first == (row * 7 + col) % 12).all()
        assert pixels["largest"] <= most and pixels["read"] < 1.2 * 5 * 256 * 600 * 100


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        reproject(FOUR, plain(4, 4), plain(2, 2, 2), "mode", NO)
        seen = [torch.get_num_threads()]
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [3, 3]
        abandoned = strips(
            lambda window: FOUR[window.row :][: window.height], plain(4, 4), plain(4, 4), rows=1
        )
        next(abandoned)
        abandoned.close()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_error_while_reading_comes_out_and_ends_the_threads():
    def read(window):
        raise OSError("the disk is gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        list(strips(read, plain(4, 4), plain(4, 4)))
    assert threading.active_count() == before
