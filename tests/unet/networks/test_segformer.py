"""SegFormer: attention by hand and as a loop, then every size against the package transformers."""

import math

import originals
import pytest
import seeded
import torch
from torch import nn

import unet
from unet.networks.attention import Block, MixFFN, SelfAttention, to_image, to_tokens
from unet.networks.segformer import SIZES, MixTransformer, PatchEmbedding

# Attention (unet/networks/attention.py), by hand.


def test_tokens_are_the_pixels_row_by_row():
    x = torch.tensor([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])  # two channels
    assert to_tokens(x).tolist() == [[[1, 5], [2, 6], [3, 7], [4, 8]]]
    assert to_image(to_tokens(x), (2, 2)).equal(x)


def attention(channels=1, heads=1, shrink=1):
    """Make attention whose values are the tokens, and whose other weights are 0."""
    layer = SelfAttention(channels, heads, shrink)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    nn.init.eye_(layer.value.weight)
    return layer


def test_who_asks_nothing_gets_the_mean_of_all_values():
    answer = attention()(torch.tensor([[[1.0], [2], [6]]]), (1, 3))
    assert answer.flatten().tolist() == pytest.approx([3, 3, 3])


def test_the_better_a_key_fits_the_question_the_more_its_value_counts():
    layer = attention()
    nn.init.ones_(layer.query.weight)
    nn.init.ones_(layer.key.weight)
    # Query 0 of token 0: both products are 0. Query log 3 of token 1: products 0 and (log 3)^2.
    one, other = layer(torch.tensor([[[0.0], [math.log(3)]]]), (1, 2)).flatten().tolist()
    weight = 3 ** math.log(3) / (1 + 3 ** math.log(3))
    assert one == pytest.approx(math.log(3) / 2) and other == pytest.approx(weight * math.log(3))


def test_shrinking_lets_patches_answer_and_leaves_out_what_fills_none():
    layer = attention(channels=2, shrink=2)
    with torch.no_grad():
        layer.sr.weight[:, :, 0, 0] = torch.eye(2)  # of each patch the upper left pixel
        layer.layer_norm.weight.fill_(1)
    tokens = torch.randn(1, 15, 2)
    answer = layer(tokens, (3, 5))  # two patches; the third row and fifth column are in none
    answering = nn.functional.layer_norm(tokens[:, [0, 2]], (2,))
    torch.testing.assert_close(answer, answering.mean(1, keepdim=True).expand(1, 15, 2))


@pytest.mark.parametrize("heads, shrink", [(1, 1), (3, 1), (2, 4)])
def test_attention_equals_the_formula_written_out(heads, shrink):
    torch.manual_seed(0)
    layer, size, d = SelfAttention(6, heads, shrink), (8, 4), 6 // heads
    tokens = torch.randn(2, 32, 6)
    asked = tokens
    if shrink > 1:
        asked = layer.layer_norm(
            layer.sr(tokens.transpose(1, 2).reshape(2, 6, *size)).reshape(2, 6, -1).mT
        )
    q, k, v = layer.query(tokens), layer.key(asked), layer.value(asked)
    expected = torch.zeros(2, 32, 6)
    for n in range(2):
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            for token in range(32):
                fit = torch.stack(
                    [q[n, token, part] @ key / math.sqrt(d) for key in k[n, :, part]]
                ).exp()
                expected[n, token, part] = (fit / fit.sum()) @ v[n, :, part]
    torch.testing.assert_close(layer(tokens, size), expected, rtol=1e-4, atol=1e-5)


def test_mix_ffn_tells_a_token_at_the_border_from_one_inside():
    layer = MixFFN(2, dropout=0)
    out = layer(torch.ones(1, 25, 2), (5, 5)).detach()[0].view(5, 5, 2)
    assert out[1:4, 1:4].flatten(0, 1).allclose(out[2, 2])
    assert not out[0, 0].allclose(out[2, 2]) and not out[0, 2].allclose(out[2, 2])


def test_drop_path_lets_a_sample_skip_attention_or_mix_ffn_whole():
    torch.manual_seed(0)
    block = Block(2, 1, 1, dropout=0, drop_path=0.25)
    block.attention["self"] = SelfAttention(2, 1, 1)
    tokens = torch.randn(1, 4, 2).expand(200, 4, 2)
    full = block.eval()(tokens, (2, 2))[0] - tokens[0]
    added = block.train()(tokens, (2, 2)) - tokens
    skipped = (added == 0).all(-1).all(-1).float().mean().item()
    assert skipped == pytest.approx(0.25**2, abs=0.05)  # both are skipped
    kinds = torch.unique(added.detach().mul(1e4).round(), dim=0)
    assert len(kinds) == 4 and full.abs().max() > 0


# The encoder and the head.


def test_patches_overlap_and_stand_stride_apart():
    layer = PatchEmbedding(1, 1, patch=3, stride=2)
    nn.init.ones_(layer.proj.weight)
    nn.init.zeros_(layer.proj.bias)
    layer.layer_norm = nn.Identity()
    tokens, size = layer(torch.ones(1, 1, 4, 5))
    # Pixels of each 3 x 3 patch that lie inside the image.
    assert size == (2, 3) and tokens.flatten().tolist() == [4, 6, 4, 6, 9, 6]


def test_the_features_are_at_a_4th_to_a_32nd_of_the_size_rounded_up():
    encoder = MixTransformer("b0", 2).eval()
    shapes = [tuple(f.shape[1:]) for f in encoder(torch.randn(1, 2, 29, 70))]
    assert shapes == [(32, 8, 18), (64, 4, 9), (160, 2, 5), (256, 1, 3)]


def test_blocks_are_skipped_the_more_often_the_deeper_they_lie():
    with torch.device("meta"):
        rates = [m.p for n, m in MixTransformer("b0", 3).named_modules() if n.endswith("drop_path")]
    assert rates == pytest.approx([0.1 * i / 7 for i in range(8)])


def test_the_encoder_starts_from_the_weights_of_the_paper():
    """The standard deviation is 0.02 for linear layers and sqrt(2 / fan-out) for convolutions.

    Biases are 0. The head has the default weights of torch.
    """
    torch.manual_seed(0)
    network = unet.build("segformer-b1", 3, 2)
    for name, module in network.segformer.named_modules():
        if isinstance(module, nn.LayerNorm):
            assert module.weight.eq(1).all() and module.bias.eq(0).all(), name
        if not isinstance(module, (nn.Linear, nn.Conv2d)):
            continue
        deviation = 0.02
        if isinstance(module, nn.Conv2d):
            reached = module.kernel_size[0] ** 2 * module.out_channels / module.groups
            deviation = math.sqrt(2 / reached)
        weight = module.weight
        several = 5 / math.sqrt(weight.numel())  # standard errors of the mean, in deviations
        assert weight.mean().item() == pytest.approx(0, abs=several * deviation), name
        assert weight.std().item() == pytest.approx(deviation, rel=several), name
        assert module.bias.eq(0).all(), name
    for linear in network.decode_head.linear_c:
        bound = 1 / math.sqrt(linear.proj.in_features)
        assert linear.proj.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert linear.proj.bias.ne(0).any()


def test_a_small_image_is_the_crop_of_itself_with_the_border_repeated():
    network = seeded.filled(lambda: unet.build("segformer-b0", 1, 2))
    x = torch.randn(1, 1, 9, 40)
    padded = torch.cat([x, x[:, :, -1:].expand(1, 1, 23, 40)], dim=2)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(padded)[:, :, :9])


def test_a_pixel_changes_the_logits_at_the_other_end_of_the_image():
    network = seeded.filled(lambda: unet.build("segformer-b0", 1, 2))
    x = torch.zeros(1, 1, 32, 256)
    changed = x.clone()
    changed[..., 0, 0] = 5
    with torch.no_grad():
        assert (network(x) - network(changed))[..., -1].abs().max() > 1e-5


# The published networks. Millions of parameters as in table 6 of the paper, for 150 classes.


@pytest.mark.parametrize("size, millions", [*zip(SIZES, [3.8, 13.7, 27.5, 47.3, 64.1, 84.7])])
def test_the_number_of_parameters_is_that_of_the_paper(size, millions):
    with torch.device("meta"):
        network = unet.build(f"segformer-{size}", 3, 150)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def ours(size, shape="segformer"):
    """The four stages, the logits at a quarter of the size, and those at the full size."""
    network, x = (
        seeded.filled(lambda: unet.build(f"segformer-{size}", 3, 5)),
        seeded.image(*originals.SHAPES[shape]),
    )
    with torch.no_grad():
        stages = network.segformer["encoder"](x)
        found = {
            **{f"stage{i + 1}": x for i, x in enumerate(stages)},
            "logits": network.decode_head(stages),
        }
        return found, network(x)


@pytest.mark.parametrize(
    "size, shape",
    [("b0", "segformer"), ("b0", "odd"), ("b1", "segformer"), ("b5", "segformer")],
)
def test_each_stage_gives_what_transformers_gave_when_it_was_recorded(size, shape):
    found, logits = ours(size, shape)
    recorded = originals.recorded(f"segformer-{size}" + "-odd" * (shape == "odd"))
    assert list(recorded) == list(found)
    for layer, expected in recorded.items():
        originals.check(seeded.spread(found[layer]), expected, layer)
    to_size = {"size": logits.shape[-2:], "mode": "bilinear", "align_corners": False}
    assert logits.equal(nn.functional.interpolate(found["logits"], **to_size))


@pytest.mark.parametrize("size, shape", [*((size, "segformer") for size in SIZES), ("b0", "odd")])
def test_each_stage_gives_what_transformers_gives(size, shape):
    expected = originals.segformer(size, shape)
    for layer, found in ours(size, shape)[0].items():
        originals.check(found, expected[layer], layer)
