import numpy as np
from scipy.ndimage import gaussian_filter, label

from pipelines.core.images import open_stack
from pipelines.tasks.em_membrane.data import inspect_source
from pipelines.tasks.em_membrane.fake import fake_samples, generate_stack, write_sample


def test_the_same_seed_gives_the_same_samples():
    first, again, other = fake_samples(5, 3), fake_samples(5, 3), fake_samples(5, 4)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.truth, b.truth)
        assert not np.array_equal(a.image, c.image)


def test_fake_samples_have_the_form_of_opened_ones():
    samples = fake_samples(5, 0, side_px=64)
    assert len({s.item_id for s in samples}) == 5
    assert len({s.group for s in samples}) == 2
    for sample in samples:
        assert sample.image.shape == sample.truth.shape == (64, 64)
        assert (sample.image.dtype, sample.truth.dtype) == (np.float32, np.bool_)
        assert 0 <= sample.image.min() < sample.image.max() <= 1


def test_membranes_are_dark_lines_around_several_cells():
    """Figures of the real stack: 22 % membrane, 60 grey values darker, 370-520 cells a Mpx."""
    images, inside = generate_stack(4, 256, 1)
    assert 0.15 < 1 - inside.mean() < 0.30
    assert images[inside].mean() - images[~inside].mean() > 35
    for section in inside:
        cells = label(section)[1] / section.size * 1e6
        assert 200 < cells < 1200


def test_neighbouring_sections_resemble_each_other_more_than_distant_ones():
    images, _ = generate_stack(8, 192, 2)
    smooth = [gaussian_filter(section.astype(float), 3).ravel() for section in images]
    near, far = (np.corrcoef(smooth[0], smooth[i])[0, 1] for i in (1, 7))
    assert near > 0.4
    assert near > far + 0.15


def test_the_built_in_sample_is_labelled_and_states_its_pixel_size(tmp_path):
    write_sample(tmp_path)
    found = inspect_source(tmp_path, {})
    assert found.is_usable
    assert not found.problems
    assert [item.has_truth for item in found.items] == [True] * 8
    assert found.options["pixel_size_nm"] == "4.0"
    assert found.options["membrane_value"] == "low"
    assert set(np.unique(open_stack(tmp_path / "train-labels.tif")[0])) == {0, 255}
