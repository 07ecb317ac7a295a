"""data/raster/claims.py: what a header claims against what the file holds."""

import numpy as np
import pytest

from data.raster import claims
from data.raster.claims import Damaged


def check(offsets, sizes, pixel_bytes, ratio=1, length=100):
    columns = (np.array(column, np.uint64) for column in (offsets, sizes))
    claims.require_blocks(*columns, np.array(pixel_bytes, float), ratio, length)


def test_blocks_up_to_the_last_byte_are_inside():
    check([8, 60], [52, 40], [52, 40])
    check([8, 0], [92, 99], [92, 50])  # a block at 0 is not stored


@pytest.mark.parametrize(
    ("offset", "size"), [(61, 40), (101, 1), (8, 2**64 - 1), (2**64 - 1, 2), (2**63, 2**63)]
)
def test_a_block_beyond_the_end_is_named(offset, size):
    with pytest.raises(Damaged, match="block 1 lies beyond the end of the file"):
        check([8, offset], [10, size], [1, 1])


def test_a_block_is_as_long_as_its_compression_makes_possible():
    check([8], [10], [10_320], claims.RATIOS[8])
    with pytest.raises(Damaged, match="block 0 has 10 bytes, too few for 10,321 bytes of pixels"):
        check([8], [10], [10_321], claims.RATIOS[8])
    check([8], [10], [1e18], None)  # ZSTD and others have no bound


def test_an_exception_of_a_library_becomes_one_line():
    def fails(error):
        raise error

    for error, text in [
        (KeyError(0), "a part of it is missing or has another type"),
        (RuntimeError("two\n  lines"), "two lines"),
        (RuntimeError(), "RuntimeError"),
        (MemoryError(), "it needs more memory than there is"),
    ]:
        with pytest.raises(Damaged) as caught:
            claims.call(fails, error)
        assert str(caught.value) == text
    with pytest.raises(KeyboardInterrupt):
        claims.call(fails, KeyboardInterrupt())


def test_a_picture_has_pixels_and_no_more_than_memory():
    claims.require_picture(65_536, 65_536, 1)
    for size, text in [
        ((65_536, 65_537, 1), "65,537 x 65,536 pixels are more than the 4 GiB"),
        ((30_000, 30_000, 6), "30,000 x 30,000 pixels are more than the 4 GiB"),
        ((0, 5, 1), "claims 5 x 0 pixels"),
        ((10, 10, 1, 99), "claims 10 x 10 pixels, which the file cannot hold"),
    ]:
        with pytest.raises(Damaged, match=text):
            claims.require_picture(*size)
