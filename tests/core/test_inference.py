"""Tiled prediction: laws of identity and equivariance, batching, memory, cancelling."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.core import inference
from pipelines.core.inference import (
    TiledInference,
    fit_to_memory,
    fold_batch_norm,
    list_symmetries,
    predict_images,
)
from pipelines.core.tiling import Tiling
from pipelines.errors import DataFormatError, DeviceMemoryError

CPU = torch.device("cpu")


def _raw(logits: torch.Tensor) -> torch.Tensor:
    return logits


def _options(tile: tuple[int, ...], **changes) -> TiledInference:
    settings = {"tiling": Tiling(tile, 0.25, multiple=8), "precision": "full", "activation": _raw}
    return TiledInference(**{**settings, **changes})


def _images(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((1, *shape), np.float32) for shape in shapes]


class _Counter(nn.Module):
    """Return the input and remember the size of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def __deepcopy__(self, memo: dict) -> _Counter:
        return self  # the tests look at the very module that was run

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(batch.shape))
        return batch * 1.0


def _convolution(num_axes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.Conv2d if num_axes == 2 else nn.Conv3d
    return nn.Sequential(layer(1, 3, 3, padding=1), nn.Tanh(), layer(3, 2, 3, padding=1))


@pytest.mark.parametrize("symmetries", ["none", "flips", "all"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (16, 16), (33, 47), (64, 64)])
def test_an_identity_model_returns_the_image_in_2d(shape, symmetries) -> None:
    (image,) = _images(shape)
    options = _options((16, 16), symmetries=symmetries)
    (found,) = predict_images(nn.Identity(), [image], options, device=CPU)
    np.testing.assert_allclose(found, image, atol=3e-6)


@pytest.mark.parametrize("symmetries", ["none", "all"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 20, 17), (16, 8, 30)])
def test_an_identity_model_returns_the_image_in_3d(shape, symmetries) -> None:
    (image,) = _images(shape)
    options = _options((8, 16, 16), symmetries=symmetries)
    (found,) = predict_images(nn.Identity(), [image], options, device=CPU)
    np.testing.assert_allclose(found, image, atol=3e-6)


def test_a_whole_image_as_one_tile_equals_the_bare_model() -> None:
    model, (image,) = _convolution(), _images((32, 48))
    (found,) = predict_images(model, [image], _options((64, 64)), device=CPU)
    with torch.inference_mode():
        expected = model(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_away_from_seams_tiles_equal_the_whole() -> None:
    """Two 3 x 3 layers see two pixels far: only that near to an inner border may tiles differ."""
    model, (image,) = _convolution(), _images((16, 24))
    (tiled,) = predict_images(model, [image], _options((16, 16)), device=CPU)
    (whole,) = predict_images(model, [image], _options((32, 32)), device=CPU)
    # columns 0-15 and 8-23: wrong are the first tile's 14, 15 and the second tile's 8, 9
    for columns in (slice(0, 8), slice(10, 14), slice(16, 24)):
        np.testing.assert_allclose(tiled[..., columns], whole[..., columns], atol=1e-5)
    assert np.abs(tiled - whole)[..., 8:10].max() > 1e-4


@pytest.mark.parametrize("turn", [lambda a: a[..., ::-1], lambda a: a[..., ::-1, :],
                                  lambda a: np.rot90(a, 1, (-2, -1)),
                                  lambda a: np.swapaxes(a, -1, -2)])  # fmt: skip
def test_averaging_over_all_symmetries_commutes_with_turning(turn) -> None:
    model, (image,) = _convolution(), _images((40, 40))
    options = _options((16, 16), symmetries="all")
    (found,) = predict_images(model, [turn(image).copy()], options, device=CPU)
    (expected,) = predict_images(model, [image], options, device=CPU)
    np.testing.assert_allclose(found, turn(expected), atol=1e-5)
    (single,) = predict_images(model, [image], _options((16, 16)), device=CPU)
    assert np.abs(single - expected).max() > 1e-3  # the model itself is not symmetric


def test_averaging_over_flips_in_3d_commutes_with_flipping_each_axis() -> None:
    model, (image,) = _convolution(3), _images((16, 24, 24))
    options = _options((8, 16, 16), symmetries="flips")
    (expected,) = predict_images(model, [image], options, device=CPU)
    for axis in (1, 2, 3):
        (found,) = predict_images(model, [np.flip(image, axis).copy()], options, device=CPU)
        np.testing.assert_allclose(found, np.flip(expected, axis), atol=1e-5)


@pytest.mark.parametrize(("kind", "num_axes", "count"), [("none", 2, 1), ("flips", 2, 4),
                         ("all", 2, 8), ("flips", 3, 8), ("all", 3, 16)])  # fmt: skip
def test_symmetries_are_all_different_and_undone(kind, num_axes, count) -> None:
    batch = torch.arange(4.0**num_axes).reshape(1, 1, *[4] * num_axes)
    symmetries = list_symmetries(kind, num_axes)
    turned = {tuple(s.apply(batch).flatten().tolist()) for s in symmetries}
    assert len(turned) == len(symmetries) == count
    for symmetry in symmetries:
        assert torch.equal(symmetry.undo(symmetry.apply(batch)), batch)


def test_the_default_is_a_softmax_over_the_channels() -> None:
    model, (image,) = _convolution(), _images((16, 16))
    (found,) = predict_images(model, [image], _options((16, 16), activation=None), device=CPU)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


def test_tiles_of_many_images_share_batches_and_come_back_in_order() -> None:
    model, images = _Counter(), _images(*[(16, 16)] * 5, (40, 40), (16, 16))
    options = _options((16, 16), batch_tiles=4)
    found = list(predict_images(model, images, options, device=CPU))
    for image, scores in zip(images, found, strict=True):
        np.testing.assert_allclose(scores, image, atol=3e-6)
    batches = [size[0] for size in model.sizes[1:]]  # the first is the probe for memory
    assert batches == [4] * (len(batches) - 1) + [batches[-1]]


def test_images_of_different_sizes_are_not_mixed_in_a_batch() -> None:
    images = _images((16, 16), (8, 8), (8, 8), (16, 16))
    found = list(predict_images(_Counter(), images, _options((16, 16), batch_tiles=8), device=CPU))
    for image, scores in zip(images, found, strict=True):
        np.testing.assert_allclose(scores, image, atol=3e-6)


def test_images_are_read_only_when_their_turn_comes() -> None:
    class Lazy(list):
        read = 0

        def __getitem__(self, index):
            self.read = max(self.read, index)
            return super().__getitem__(index)

    images = Lazy(_images(*[(16, 16)] * 6))
    stream = predict_images(_Counter(), images, _options((16, 16), batch_tiles=1), device=CPU)
    next(stream)
    assert images.read <= 1


def test_progress_rises_to_the_number_of_images() -> None:
    told: list[tuple[float, int]] = []
    images = _images((40, 40), (40, 40))
    options = _options((16, 16), batch_tiles=2)
    list(predict_images(_Counter(), images, options, device=CPU,
                        on_progress=lambda done, total: told.append((done, total))))  # fmt: skip
    done = [d for d, _ in told]
    assert done == sorted(done)
    assert told[-1] == (2, 2)
    assert 0 < done[0] < 1


def test_cancelling_ends_the_stream_and_keeps_what_was_done() -> None:
    model = _Counter()
    stream = predict_images(model, _images(*[(16, 16)] * 5), _options((16, 16), batch_tiles=1),
                            device=CPU, is_cancelled=lambda: len(model.sizes) > 2)  # fmt: skip
    assert len(list(stream)) == 2


def test_no_images_give_no_predictions() -> None:
    assert list(predict_images(_Counter(), [], _options((16, 16)), device=CPU)) == []


class _Tight(_Counter):
    """Refuse batches of more than `limit` tiles as a GPU without memory does."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[0] > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(batch)


def test_when_memory_runs_out_the_batch_shrinks_and_nothing_is_lost() -> None:
    model, images = _Tight(2), _images(*[(16, 16)] * 9)
    found = list(predict_images(model, images, _options((16, 16), batch_tiles=8), device=CPU))
    np.testing.assert_allclose(np.stack(found), np.stack(images), atol=3e-6)
    assert max(size[0] for size in model.sizes) == 2


def test_when_a_single_tile_does_not_fit_the_message_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(inference, "_bytes_per_pixel", lambda *_: 1.0)
    with pytest.raises(DeviceMemoryError, match="16 x 16 pixels"):
        list(predict_images(_Tight(0), _images((16, 16)), _options((16, 16)), device=CPU))


def test_other_errors_of_the_model_are_not_taken_for_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        list(predict_images(nn.Conv2d(2, 1, 1), _images((16, 16)), _options((16, 16)), device=CPU))


def test_a_small_budget_shrinks_the_tile_and_a_large_one_fills_the_batch() -> None:
    model = _convolution().eval()
    per_pixel = 4 * (3 + 3 + 2)  # float32 results of the three layers
    wide = _options((64, 64), memory_bytes=per_pixel * 64 * 64 * 3)
    assert fit_to_memory(model, 1, wide, CPU) == (wide.tiling, 3)
    tight = _options((64, 64), memory_bytes=per_pixel * 40 * 40)
    tiling, batch = fit_to_memory(model, 1, tight, CPU)
    assert tiling.tile_px == (32, 32)
    assert batch == 1


def test_a_folded_normalisation_changes_nothing_but_speed() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Sequential(nn.Conv2d(4, 2, 1, bias=False), nn.BatchNorm2d(2)), nn.BatchNorm2d(2),
    )  # fmt: skip
    model(torch.randn(8, 1, 9, 9))  # running means and variances away from 0 and 1
    model.eval()
    folded = copy.deepcopy(model)
    assert fold_batch_norm(folded) == 2
    batch = torch.randn(2, 1, 9, 9)
    with torch.inference_mode():
        np.testing.assert_allclose(folded(batch).numpy(), model(batch).numpy(), atol=1e-5)


def test_a_block_that_uses_its_layers_in_another_order_is_not_folded() -> None:
    class Backwards(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[0](self[1](x))

    assert fold_batch_norm(Backwards(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)).eval()) == 0


def test_the_callers_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)).train()
    before = copy.deepcopy(model.state_dict())
    list(predict_images(model, _images((16, 16)), _options((16, 16)), device=CPU))
    assert model.training
    assert isinstance(model[1], nn.BatchNorm2d)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_image_of_other_axes_is_refused() -> None:
    with pytest.raises(DataFormatError, match="16 x 16"):
        list(predict_images(nn.Identity(), [np.zeros((16, 16), np.float32)], _options((8, 8)),
                            device=CPU))  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_predicts_what_the_cpu_predicts() -> None:
    model, images = _convolution(), _images((40, 56), (16, 16))
    options = _options((32, 32), symmetries="all")
    on_gpu = predict_images(model, images, options, device=torch.device("cuda"))
    on_cpu = predict_images(model, images, options, device=CPU)
    for found, expected in zip(on_gpu, on_cpu, strict=True):
        # TF32 products carry 10 bits of mantissa
        np.testing.assert_allclose(found, expected, atol=5e-3)
