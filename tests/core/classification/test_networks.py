"""The symmetric network obeys its law; Grad-CAM finds what a known network looks at."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.core.classification import networks
from pipelines.core.classification.networks import (
    CURATED,
    Classifier,
    NetworkPlan,
    SymmetricNet,
    build_network,
    composition,
    grad_cam,
    symmetries,
)
from pipelines.core.classification.prediction import Memory
from pipelines.errors import ConfigError
from pipelines.text import render
from tests.wording import assert_clear


def test_the_symmetries_of_the_square_form_a_group():
    table = composition()
    assert table[0] == tuple(range(8))
    for row in table:
        assert sorted(row) == list(range(8))


def test_turned_and_mirrored_pictures_get_the_same_answer():
    torch.manual_seed(0)
    net = SymmetricNet(2, widths=(2, 2, 2, 2))
    for module in net.modules():  # statistics that differ between the copies of a channel
        for name in ("mean", "variance"):
            if hasattr(module, name):
                getattr(module, name).uniform_(0.5, 1.5)
    net.eval()
    picture = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        answer = net(picture)
        assert answer.std() > 0
        for copy in symmetries(picture):
            torch.testing.assert_close(net(copy), answer, atol=1e-4, rtol=1e-4)


def test_an_ordinary_convolution_breaks_that_law():
    """The law above is not true of anything: a plain network fails it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 2))
    picture = torch.randn(1, 3, 32, 32)
    turned = torch.rot90(picture, 1, (-2, -1))
    assert (net(picture) - net(turned)).abs().max() > 1e-2


class _LooksAtRed(Classifier):
    """Answer by the amount of red; the maps are the colours themselves."""

    def maps(self, pictures):
        return pictures

    def embed(self, maps):
        return maps.mean((2, 3))

    def classify(self, features):
        return torch.stack([-features[:, 0], features[:, 0]], 1)


def test_grad_cam_marks_the_red_square_and_nothing_else():
    picture = torch.zeros(1, 3, 8, 8)
    picture[0, 0, 2:4, 5:7] = 1.0
    picture[0, 1, 6, 1] = 1.0  # green, which the network ignores
    cam = grad_cam(_LooksAtRed(), picture, class_index=1)[0]
    assert torch.equal(cam > 0.5, picture[0, 0] > 0)
    assert cam[6, 1] == 0


def test_what_speaks_against_a_class_is_not_marked():
    picture = torch.zeros(1, 3, 8, 8)
    picture[0, 0, 2:4, 5:7] = 1.0
    assert grad_cam(_LooksAtRed(), picture, class_index=0).max() == 0


@pytest.mark.parametrize("name", sorted(CURATED))
def test_every_network_of_the_list_learns_and_shows_where_it_looks(name):
    torch.manual_seed(0)
    net, note = build_network(NetworkPlan(name, "", 3, 96))
    assert note is None
    pictures = torch.randn(2, 3, 96, 96)
    loss = torch.nn.functional.cross_entropy(net.train()(pictures), torch.tensor([0, 2]))
    loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())
    assert sum(float(p.grad.abs().sum()) for p in net.parameters() if p.grad is not None) > 0
    cam = grad_cam(net.eval(), pictures)
    assert cam.shape[0] == 2
    assert 0 <= float(cam.min()) <= float(cam.max()) <= 1


def test_weights_that_cannot_be_had_are_said_plainly_and_the_network_starts_from_scratch(
    monkeypatch,
):
    monkeypatch.setattr(networks, "getproxies", dict)
    monkeypatch.setattr(networks, "_is_reachable", lambda host: False)
    net, note = build_network(NetworkPlan("resnet18", "", 2, 64, is_pretrained=True))
    assert note is not None
    assert "resnet18" in render(note, "en")
    with torch.no_grad():
        assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(ConfigError) as caught:
        build_network(NetworkPlan("timm", "resnet18000", 2, 96))
    assert_clear(caught.value.text, "resnet18000")


def test_a_model_that_does_not_fit_the_size_is_refused_by_name():
    with pytest.raises(ConfigError) as caught:
        build_network(NetworkPlan("timm", "levit_128s", 2, 100))
    assert_clear(caught.value.text, "levit_128s")


def test_a_timm_model_gives_one_answer_by_both_ways():
    torch.manual_seed(0)
    net, _ = build_network(NetworkPlan("resnet18", "", 3, 64))
    net.eval()
    picture = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        by_steps = net.classify(net.embed(net.maps(picture)))
        torch.testing.assert_close(by_steps, net(picture))


def test_the_nearest_training_pictures_are_those_of_the_smallest_angle():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(30, 5)).astype(np.float32)
    memory = Memory(np.array([f"p{i}" for i in range(30)]), known)
    scaled = (known - known.mean(0)) / known.std(0)
    query = scaled[7] * 3 * known.std(0) + known.mean(0)  # the direction of p7, three times as far
    cosine = scaled @ scaled[7] / np.linalg.norm(scaled, axis=1)
    wanted = [f"p{i}" for i in np.argsort(-cosine)[:6]]
    assert wanted[0] == "p7"
    assert memory.nearest(query[None])[0].tolist() == wanted
    newer = np.concatenate([query, [99.0, 99.0]])  # measured since: not known to the memory
    assert memory.nearest(newer[None])[0].tolist() == wanted
