"""Scenes in windows: weights by hand, known networks, a naive blend of the whole raster, a U-Net in
one piece.
"""

import doctest
import threading
import weakref
from itertools import product
from queue import Queue

import numpy as np
import pytest
import torch

import unet
from data.grid import Window
from data.mapping import strips as mapping
from data.mapping.strips import RAMP, STRIDE, axis, layout

LENGTHS = [1, 2, 5, 31, 255, 256, 257, 300, 511, 700, 1023]
LAYOUTS = [(256, 0), (256, 32), (256, 64), (256, 128), (256, 224), (320, 96)]


def cut(image: np.ndarray, window: Window) -> np.ndarray:
    row, col, height, width = window
    return image[:, row : row + height, col : col + width]


def mapped(
    image: np.ndarray, network, classes: int, size: int = 256, overlap: int = 64, **options
) -> np.ndarray:
    """Probabilities (K, H, W) of the whole map; pixels of NaN have no data."""
    usual = {
        "read": lambda window: cut(image, window),
        "prepare": lambda pixels: (np.nan_to_num(pixels), ~np.isnan(pixels).any(0)),
        "keep": lambda window, pixels: window,
        "finish": lambda probabilities, window: probabilities.copy(),
        "block": (64, 64),
    }
    made = mapping.strips(
        network=network,
        shape=image.shape[1:],
        size=size,
        overlap=overlap,
        classes=classes,
        **{**usual, **options},
    )
    return np.concatenate(list(made), axis=1)


def noise(height: int, width: int, bands: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((bands, height, width), np.float32)


# By hand.


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(mapping).failed == 0


def test_one_window_fades_into_the_next_over_the_middle_of_their_overlap():
    # Windows at -32 and 160 share the pixels 160 to 223; the outer 28 of each count for nothing.
    first, second, _ = axis(500, 256, 64).weights
    assert (first[32 + 160 : 32 + 188] == 1).all() and (second[:28] == 0).all()
    ramp = [1 / 16, 3 / 16, 5 / 16, 7 / 16, 9 / 16, 11 / 16, 13 / 16, 15 / 16]
    assert second[28:36].tolist() == ramp and first[32 + 188 : 32 + 196].tolist() == ramp[::-1]
    assert (first[32 + 196 :] == 0).all() and (second[36:156] == 1).all()


def test_a_scene_that_fits_a_window_gets_one_and_a_larger_one_as_few_as_cover_it():
    assert [len(axis(length, 256, 64).starts) for length in (1, 256, 257, 384, 385)] == [
        1,
        1,
        2,
        2,
        3,
    ]


def test_beyond_its_border_a_scene_is_seen_in_a_mirror():
    # The network answers with the pixel two to the left: at the border that is the mirrored one.
    image = np.arange(600, dtype=np.float32)[None, None].repeat(3, axis=1)
    found = mapped(image, lambda x: np.roll(x, 2, axis=3), 1)
    assert found[0, 1].tolist() == [2, 1, *range(598)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 300), (5, 1)])
def test_a_scene_smaller_than_the_mirror_is_mirrored_again_and_again(shape):
    seen = []
    image = noise(*shape)
    mapped(image, lambda x: seen.append(x) or x, 1)
    wide = np.pad(image, ((0, 0), (STRIDE, STRIDE), (STRIDE, STRIDE)), mode="reflect")
    assert np.array_equal(
        seen[0][0][:, : wide.shape[1], : min(wide.shape[2], 256)], wide[:, :, :256]
    )


# For every length, size and overlap.


@pytest.mark.parametrize("length, of", [*product(LENGTHS, LAYOUTS)])
def test_weights_sum_to_one_everywhere_also_at_the_ends(length, of):
    starts, size, weights = axis(length, *of)
    total = np.zeros(length + 2 * size)
    for start, weight in zip(starts, weights):
        total[start + size : start + 2 * size] += weight
    np.testing.assert_allclose(total[size:-size], 1, rtol=1e-6)
    assert not total[:size].any() and not total[-size:].any()
    assert all(start % STRIDE == 0 for start in starts) and weights.any(axis=1).all()


@pytest.mark.parametrize("length, of", [*product([330, 500, 700, 1023], LAYOUTS)])
def test_what_counts_has_half_of_the_overlap_around_it_and_at_the_ends_a_mirror(length, of):
    starts, size, weights = axis(length, *of)
    rim = (of[1] - min(RAMP, of[1])) // 2
    assert not weights[:, :rim].any() and not weights[:, size - rim :].any()
    assert starts[0] <= -STRIDE and starts[-1] + size >= length + STRIDE
    assert all(b - a <= size - of[1] for a, b in zip(starts, starts[1:]))


@pytest.mark.parametrize(
    "height, width", [(1, 1), (3, 400), (300, 301), (257, 256), (700, 131), (1, 900)]
)
@pytest.mark.parametrize("of", [(256, 0), (256, 64), (256, 224)])
def test_what_looks_at_single_pixels_gives_the_same_in_windows_and_each_pixel_is_read_once(
    height, width, of
):
    image, times = noise(height, width, 2), np.zeros((height, width), int)

    def read(window: Window) -> np.ndarray:
        times[window.row : window.row + window.height, window.col : window.col + window.width] += 1
        assert window.row % 40 == 0 and window.col % 70 == 0  # whole blocks
        return cut(image, window)

    found = mapped(image, lambda x: x + 1, 2, *of, read=read, block=(40, 70))
    np.testing.assert_allclose(found, image + 1, rtol=1e-6)
    assert (times == 1).all()


def test_layouts_are_multiples_of_the_stride_and_cover_what_was_asked_for():
    for size, overlap in product([1, 100, 256, 300, 612], [0, 1, 64, 100, 254]):
        found = layout(size, overlap)
        assert found[0] >= size and found[0] % STRIDE == found[1] % STRIDE == 0
        assert overlap <= found[1] < found[0] or found[1] == found[0] - STRIDE


# Against independent computations.


@pytest.mark.parametrize(
    "shape, of", [((300, 420), (256, 64)), ((130, 700), (256, 160)), ((520, 90), (256, 0))]
)
def test_strips_agree_with_adding_up_the_whole_raster(shape, of):
    image, pad = noise(*shape), 512
    rows, cols = (axis(length, *of) for length in shape)

    def network(x: np.ndarray) -> np.ndarray:
        """Each window answers with its mean, and its pixels: the worst of seams."""
        return np.concatenate(
            [np.broadcast_to(x.mean((1, 2, 3), keepdims=True), x.shape), x], axis=1
        )

    wide, total = (
        np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect"),
        np.zeros((2, 2048, 2048)),
    )
    for (row, u), (col, v) in product(
        zip(rows.starts, rows.weights), zip(cols.starts, cols.weights)
    ):
        window = wide[:, pad + row : pad + row + rows.size, pad + col : pad + col + cols.size]
        part = total[:, pad + row : pad + row + rows.size, pad + col : pad + col + cols.size]
        part += network(window[None])[0] * np.outer(u, v)
    expected = total[:, pad : pad + shape[0], pad : pad + shape[1]]
    np.testing.assert_allclose(mapped(image, network, 2, *of), expected, rtol=1e-5)


def box(x: np.ndarray, radius: int) -> np.ndarray:
    """Mean of the (2 radius + 1) squared around each pixel, zeros beyond the window as in a
    convolution.
    """
    for along in (2, 3):
        widths = [(radius + 1, radius) if axis == along else (0, 0) for axis in range(4)]
        total, width = np.pad(x.astype(np.float64), widths).cumsum(axis=along), 2 * radius + 1
        head, tail = (
            total.take(range(*ends), along)
            for ends in ((width, total.shape[along]), (0, total.shape[along] - width))
        )
        x = (head - tail) / width
    return x


def test_in_windows_is_as_in_one_piece_once_the_overlap_covers_the_receptive_field():
    image = noise(500, 450)
    for radius, least, most in [(28, 0, 1e-6), (40, 1e-4, 1)]:  # 2 * 28 + RAMP = 64, the overlap
        whole = np.pad(image, ((0, 0), (64, 64), (64, 64)), mode="reflect")
        whole = box(whole[None], radius)[0][:, 64:-64, 64:-64]
        inner = np.s_[:, 48:-48, 48:-48]
        difference = np.abs(
            mapped(image, lambda x, radius=radius: box(x, radius), 1)[inner] - whole[inner]
        ).max()
        assert least <= difference < most


@pytest.fixture(scope="module")
def network():
    """A U-Net whose normalisation knows its own activations, so that what it sees far away matters."""
    torch.manual_seed(3)
    model = unet.build("unet", 1, 3, base=2)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1
    with torch.no_grad():
        model(torch.from_numpy(noise(256, 256))[None])
        model.eval().outc.conv.weight.mul_(4)
    radius = model.receptive_radius

    def probabilities(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(np.ascontiguousarray(x))).softmax(1).numpy()

    return probabilities, radius


@pytest.mark.parametrize("turned", [False, True])
def test_a_unet_gives_in_windows_what_it_gives_in_one_piece(network, turned):
    """A scene of one column of windows, or of one row: so it takes no time."""
    probabilities, radius = network
    covering = layout(320, 2 * radius + RAMP)
    assert covering == (320, 224)
    image, turn = noise(560, 64), (0, 2, 1) if turned else (0, 1, 2)
    whole = probabilities(
        np.pad(image, ((0, 0), (0, 0), (32, 32)), mode="reflect").transpose(turn)[None]
    )[0]
    whole = whole.transpose(turn)[:, :, 32:-32]
    for of, least, most in [(covering, 0, 1e-4), ((256, 0), 1e-2, 1)]:
        found = mapped(image.transpose(turn), probabilities, 3, *of).transpose(turn)
        # Away from the border, where the whole sees zeros and we a mirror.
        assert least <= np.abs(found - whole)[:, 150:-150].max() < most


def test_the_origin_of_the_scene_does_not_matter(network):
    """Cut off multiples of the network's stride, which is 16, and the rest stays the same; of 1,
    and it does not.
    """
    probabilities, radius = network
    image, covering = noise(560, 64), layout(320, 2 * radius + RAMP)
    whole = mapped(image, probabilities, 3, *covering)
    for row, same in {32: True, 16: True, 1: False}.items():
        found = mapped(image[:, row:], probabilities, 3, *covering)
        assert (np.abs(found - whole[:, row:])[:, 150:-150].max() < 1e-4) == same


# What costs nothing, what goes wrong, and who works when.


def test_windows_without_data_cost_no_pass_and_data_beside_them_is_mapped_in_full():
    image, seen = noise(1000, 900), []
    image[:, :600], image[:, :, 300:] = np.nan, np.nan  # data in the lower left corner
    found = mapped(image, lambda x: seen.append(len(x)) or x + 1, 1)
    rows, cols = axis(1000, 256, 64), axis(900, 256, 64)
    with_data = [
        (row, col)
        for row, col in product(range(len(rows.starts)), range(len(cols.starts)))
        if rows.support(row)[1] > 600 and cols.support(col)[0] < 300
    ]
    assert sum(seen) == len(with_data) < len(rows.starts) * len(cols.starts) / 3
    np.testing.assert_allclose(found[:, 600:, :300], image[:, 600:, :300] + 1, rtol=1e-6)
    assert not found[:, :400].any()


def test_a_scene_without_any_data_never_meets_the_network():
    assert not mapped(np.full((2, 300, 700), np.nan), None, 4).any()


def test_batches_are_full_until_a_row_of_windows_ends():
    sizes = []
    mapped(noise(300, 1500), lambda x: sizes.append(len(x)) or x, 1, batch=3)
    assert len(axis(1500, 256, 64).starts) == 8 and sizes == [3, 3, 2] * 2


def test_strips_follow_each_other_and_come_with_their_part_of_the_image():
    image, windows = noise(1000, 300), []

    def keep(window: Window, pixels: np.ndarray) -> np.ndarray:
        windows.append(window)
        assert np.array_equal(pixels, cut(image, window))
        return pixels

    def finish(probabilities: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        np.testing.assert_allclose(probabilities, pixels, rtol=1e-6)
        return probabilities

    mapped(image, lambda x: x, 1, keep=keep, finish=finish)
    assert [window.row for window in windows] == [0, 188, 380, 572, 764, 828]
    assert sum(window.height for window in windows) == 1000


def test_reading_runs_ahead_but_not_far():
    image, last = noise(5000, 64), []

    def read(window: Window) -> np.ndarray:
        last.append(window.row)
        return cut(image, window)

    made = mapping.strips(
        read, lambda x: (x, np.ones(x.shape[1:], bool)), lambda x: x, lambda window, x: None, lambda p, kept: None,
        (5000, 64), (64, 64), 256, 64, 1,
    )  # fmt: skip
    next(made)
    assert max(last) < 2500
    made.close()
    assert max(last) < 2500


def test_parts_of_the_source_are_released_as_the_map_goes_down():
    """Memory does not grow with the height: as many parts are alive at the end as in the middle."""
    image, parts, alive = noise(6000, 64), [], []

    def read(window: Window) -> np.ndarray:
        pixels = cut(image, window).copy()
        parts.append(weakref.ref(pixels))
        alive.append(sum(part() is not None for part in parts))
        return pixels

    mapped(image, lambda x: x, 1, read=read)
    assert len(parts) == len(range(0, 6000, 64)) and max(alive) <= 16  # of 94


@pytest.mark.parametrize("culprit", ["read", "prepare", "network", "keep", "finish"])
def test_what_goes_wrong_in_a_thread_is_raised_where_strips_are_taken_and_no_thread_stays(culprit):
    before = threading.active_count()

    def wrong(*arguments):
        raise OSError(f"{culprit}: the disk is gone")

    with pytest.raises(OSError, match=f"{culprit}: the disk is gone"):
        options = {"network": lambda x: x, culprit: wrong}
        mapped(noise(700, 300), classes=1, **options)
    assert threading.active_count() == before


def test_progress_is_told_to_the_end():
    told = []
    mapped(noise(700, 900), lambda x: x, 1, tell=told.append)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 8


@pytest.mark.parametrize(
    "world, of", [(2, (256, 64)), (3, (256, 64)), (3, (256, 160)), (9, (256, 0))]
)
def test_several_processes_make_the_same_map_to_the_last_bit(world, of):
    """Threads in their stead, and queues between them."""
    image = noise(900, 400)
    alone = mapped(image, lambda x: np.sin(9 * x), 1, *of)
    pipes, found, read = [Queue() for _ in range(world)], [[] for _ in range(world)], [0] * world

    class Rank:
        def __init__(self, rank: int):
            self.rank, self.world = rank, world

        def pass_on(self, carry: np.ndarray) -> None:
            pipes[(self.rank + 1) % world].put(carry)

        def receive(self, shape: tuple[int, int, int]) -> np.ndarray:
            carry = pipes[self.rank].get(timeout=20)
            assert carry.shape == shape
            return carry

    def work(rank: int) -> None:
        keep = {"keep": lambda window, pixels: window}
        finish = {"finish": lambda p, window: found[rank].append((window.row, p.copy())) or p}

        def count(window: Window) -> np.ndarray:
            read[rank] += window.height
            return cut(image, window)

        if rank < len(axis(900, *of).starts):
            mapped(
                image,
                lambda x: np.sin(9 * x),
                1,
                *of,
                ranks=Rank(rank),
                read=count,
                **keep,
                **finish,
            )

    threads = [threading.Thread(target=work, args=[rank]) for rank in range(world)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    strips = sorted((strip for own in found for strip in own), key=lambda strip: strip[0])
    assert np.array_equal(np.concatenate([p for _, p in strips], axis=1), alone)
    assert max(read) < 900 or of[1] > 64  # none reads what is between its strips
