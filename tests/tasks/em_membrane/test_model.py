"""The networks: shapes at odd options, the paper's size, symmetry of the stem, refusals by name."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from pipelines.errors import ConfigError
from pipelines.tasks.em_membrane import model as models
from pipelines.tasks.em_membrane.config import ENCODERS, ModelOptions
from pipelines.tasks.em_membrane.model import (
    UNet,
    build_model,
    count_parameters,
)


def small(**changes):
    return ModelOptions(**{"base_channels": 4, "depth": 2, "num_affinities": 0, **changes})


def from_scratch(architecture, encoder):
    return ModelOptions(architecture=architecture, encoder=encoder, is_pretrained=False)


def test_the_papers_size_has_the_papers_thirty_one_million_parameters():
    """By hand: 3 x 3 convolutions, 2 x 2 up-convolutions and the last 1 x 1, plus normalisation."""
    channels = [64, 128, 256, 512, 1024]
    expected = 0
    for before, after in zip([1, *channels], channels, strict=False):
        expected += 9 * before * after + 9 * after * after + 4 * after
    for above, below in itertools.pairwise(channels):
        expected += 4 * below * above + above + 9 * 2 * above * above + 9 * above * above
        expected += 4 * above
    expected += 2 * 64 + 2
    built = build_model(ModelOptions(base_channels=64, depth=4, stem=1, num_affinities=0))
    assert count_parameters(built) == expected
    assert expected == pytest.approx(31.0e6, rel=0.01)


@pytest.mark.parametrize("stem", [1, 2, 4])
def test_scores_have_the_size_of_the_image(stem):
    options = small(stem=stem)
    side = options.multiple
    scores = build_model(options)(torch.zeros(2, 1, 2 * side, 3 * side))
    assert scores.shape == (2, 2, 2 * side, 3 * side)


def test_a_shift_by_the_networks_multiple_shifts_the_scores():
    options = small(stem=2)
    built = build_model(options).eval()
    image = torch.zeros(1, 1, 96, 96)
    image[..., 40:52, 38:50] = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    step = options.multiple
    moved = image.roll((step, -step), (2, 3))
    with torch.no_grad():
        first, second = built(image), built(moved)
    inner = slice(32, 64)  # away from the zero padding at the edges
    expected = first.roll((step, -step), (2, 3))
    torch.testing.assert_close(second[..., inner, inner], expected[..., inner, inner])
    assert first[..., inner, inner].std() > 0


def test_every_pixel_of_a_block_has_scores_of_its_own():
    built = build_model(small(stem=2)).eval()
    image = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores = built(image)
    assert not torch.equal(scores[..., ::2, ::2], scores[..., 1::2, 1::2])


def test_the_second_head_judges_pairs_in_training_and_leaves_the_classes_alone():
    built = build_model(small(num_affinities=3))
    assert isinstance(built, UNet)
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    built.eval()
    with torch.no_grad():
        scores, pairs = built.training_scores(image)
        assert torch.equal(scores, built(image))
    assert pairs is not None
    assert pairs.shape == (2, 3 * 4, 16, 16)


def test_without_the_second_head_there_are_no_pairs():
    built = build_model(small())
    assert isinstance(built, UNet)
    assert built.training_scores(torch.zeros(1, 1, 16, 16))[1] is None


def test_one_seed_gives_one_network_and_another_another():
    weights = [next(build_model(small(), seed=s).parameters()) for s in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [
        ("smp_unet", "resnet18"),
        ("smp_fpn", "mobilenet_v2"),
        ("smp_unetplusplus", "efficientnet-b0"),
    ],
)
def test_networks_of_the_library_take_grey_and_give_two_classes(architecture, encoder):
    built = build_model(
        ModelOptions(architecture=architecture, encoder=encoder, is_pretrained=False)
    ).eval()
    assert built(torch.zeros(1, 1, 64, 32)).shape == (1, 2, 64, 32)


def test_an_encoder_that_does_not_fit_the_network_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"mit_b0.*UnetPlusPlus"):
        build_model(
            ModelOptions(architecture="smp_unetplusplus", encoder="mit_b0", is_pretrained=False)
        )


def test_an_unknown_encoder_is_refused_with_the_allowed_names():
    with pytest.raises(ConfigError, match=ENCODERS[0]):
        build_model(ModelOptions(architecture="smp_unet", encoder="resnet19", is_pretrained=False))


def test_an_unknown_network_is_refused():
    with pytest.raises(ConfigError, match="smp_fpn"):
        build_model(ModelOptions(architecture="vnet"))


def test_pretrained_weights_that_cannot_be_had_are_said_and_replaced(monkeypatch):
    asked, notes = [], []

    def library(options, weights):
        asked.append(weights)
        if weights is not None:
            raise OSError("no such host")
        return nn.Identity()

    monkeypatch.setattr(models, "_library_model", library)
    options = ModelOptions(architecture="smp_unet", encoder="resnet34", is_pretrained=True)
    build_model(options, note=notes.append)
    assert asked == ["imagenet", None]
    assert [n.params["encoder"] for n in notes] == ["resnet34"]


def test_a_misfit_is_not_mistaken_for_a_failed_download():
    options = ModelOptions(architecture="smp_unetplusplus", encoder="mit_b0", is_pretrained=True)
    with pytest.raises(ConfigError, match="mit_b0"):
        build_model(options)
