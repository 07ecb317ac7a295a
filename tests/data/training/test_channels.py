"""What a training says of its bands and indices: data/training/channels.py."""

from data.training.channels import described


def test_bands_without_names_and_indices_that_cannot_be_made_are_told():
    assert described(["Red", "NIR"], ["NDVI"], None) == "bands: Red, NIR; indices: NDVI"
    assert described(["1", "2"], [], None) == (
        "bands: 1, 2 (the files do not name them; their order counts); indices: none (NDVI needs "
        "bands named NIR and Red; name the bands by --bands)"
    )
    assert described(["Red", "Blue"], [], None).startswith("bands: Red, Blue; indices: none (NDVI")
    assert "their order counts" in described(["Red", "2", "Red@2", "2@2"], [], [])


def test_who_wants_no_indices_is_not_told_about_them():
    assert described(["Red", "Blue"], [], []) == "bands: Red, Blue"
