"""Scenes mapped strip by strip, against a naive blend of the whole raster, and in one piece."""

import doctest
import threading
from itertools import product
from queue import Queue

import numpy as np
import pytest
import torch
from scene import Array, Function, cut, mapped, noise

import unet
from data.files import IGNORE
from data.grid import Window
from data.mapping import strips as mapping
from data.mapping.strips import map_scene, window_seed
from data.tiling import RAMP, axis, layout


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(mapping).failed == 0


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
    """A U-Net normalised by its own activations, so that far pixels matter, and its radius."""
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


# What a strip holds, what goes wrong, and who works when.


def test_strips_follow_each_other_and_hold_the_likeliest_class_where_there_is_data():
    image = noise(1000, 300, 3)
    image[:, 400:420, 7] = np.nan
    found = list(map_scene(Array(image, step=10), Function(lambda x: x, 3)))
    assert [strip.window.row for strip in found] == [0, 188, 380, 572, 764, 828]
    labels = np.concatenate([strip.labels for strip in found])
    expected = np.where(np.isnan(image[0]), IGNORE, np.nan_to_num(image).argmax(0))
    assert labels.dtype == np.uint8 and np.array_equal(labels, expected)
    thumbnail = np.concatenate([strip.thumbnail for strip in found], axis=1)
    assert np.array_equal(thumbnail, image[:, ::10, ::10], equal_nan=True)
    assert all(strip.probabilities is None for strip in found)


def test_layers_behind_the_classes_are_blended_and_no_class():
    image, network = noise(300, 300, 2), Function(lambda x: np.concatenate([x, x + 9], axis=1), 4)
    network.classes = 2
    (strip, last) = map_scene(Array(image), network, with_probabilities=True)
    assert max(strip.labels.max(), last.labels.max()) == 1
    found = np.concatenate([strip.probabilities, last.probabilities], axis=1)
    np.testing.assert_allclose(found, np.concatenate([image, image + 9]), rtol=1e-6)


@pytest.mark.parametrize("culprit", ["read", "prepare", "valid", "thumbnail", "probabilities"])
def test_an_error_in_a_thread_is_raised_where_strips_are_taken_and_no_thread_stays(culprit):
    before = threading.active_count()

    def wrong(*arguments):
        raise OSError(f"{culprit}: the disk is gone")

    source, network = Array(noise(700, 300)), Function(lambda x: x, 1)
    setattr(network if culprit == "probabilities" else source, culprit, wrong)
    with pytest.raises(OSError, match=f"{culprit}: the disk is gone"):
        list(map_scene(source, network))
    assert threading.active_count() == before


def test_progress_is_shown_to_the_end(monkeypatch):
    shown = []
    monkeypatch.setattr(mapping, "progress", shown.append)
    image = noise(700, 900)
    image[:, :100, 500:] = np.nan  # a window of the first row has no data
    mapped(image, lambda x: x)
    shares = [int(text.split()[1].rstrip("%,")) for text in shown]
    assert shares == sorted(shares) and shares[-1] == 100 and len(shares) > 8
    assert shown[0].startswith("array: ") and shown[-1].endswith("0:00 left")


def test_the_seed_of_a_window_is_that_of_its_place_in_any_batch():
    """Every window answers with its seed. The seeds of a scene are all different."""
    image, found = noise(700, 500), []
    for batch in (1, 4):
        network = Function(None, 1)
        network.probabilities = lambda x, seeds: np.float32(seeds)[:, None, None, None] + 0 * x
        made = map_scene(Array(image), network, 0, batch, True)
        found.append(np.concatenate([strip.probabilities for strip in made], axis=1))
    assert np.array_equal(*found) and len(np.unique(found[0])) == 4 * 3
    assert found[0][0, 0, 0] == np.float32(window_seed("array", -32, -32))


class Threads:
    """Process `rank` of `world` that are threads in truth, with queues between them."""

    def __init__(self, rank: int, queues: dict):
        self.rank, self.world, self.queues = rank, len(queues), queues

    def send(self, array: np.ndarray, to: int) -> None:
        self.queues[to][0].put(array)

    def receive(self, shape: tuple[int, ...], source: int) -> np.ndarray:
        array = self.queues[self.rank][0].get(timeout=20)
        assert array.shape == shape and source == (self.rank - 1) % self.world
        return array

    def send_object(self, value, to: int) -> None:
        assert to == 0
        self.queues[self.rank][1].put(value)

    def receive_object(self, source: int):
        return self.queues[source][1].get(timeout=20)


@pytest.mark.parametrize(
    "world, of", [(2, (256, 64)), (3, (256, 64)), (3, (256, 160)), (9, (256, 0))]
)
def test_several_processes_make_the_same_map_to_the_last_bit(world, of):
    image, found, read = noise(900, 400), [[] for _ in range(world)], [0] * world
    alone = mapped(image, lambda x: np.sin(9 * x), 1, *of)
    queues = {rank: (Queue(), Queue()) for rank in range(world)}

    def work(rank: int) -> None:
        def count(window: Window) -> np.ndarray:
            read[rank] += window.height
            return cut(image, window)

        source, network = Array(image), Function(lambda x: np.sin(9 * x), 1, of[0])
        source.read = count
        found[rank] = list(map_scene(source, network, of[1], 4, True, Threads(rank, queues)))

    threads = [threading.Thread(target=work, args=[rank]) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(np.concatenate([p.probabilities for p in found[0]], axis=1), alone)
    assert len(found[0]) == len(axis(900, *of).starts) and not any(found[1:])
    assert max(read) < 900 or of[1] > 64  # none reads what is between its strips
