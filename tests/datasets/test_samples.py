import pytest

from pipelines.datasets import builtin_sample, list_datasets, samples


def test_the_sample_is_written_once_and_called_generated(task, settings, monkeypatch):
    first = builtin_sample(task, settings)
    assert first.is_generated
    monkeypatch.setattr(type(task), "write_builtin_sample", None)  # must not be called again
    assert builtin_sample(task, settings) == first
    assert list_datasets(settings) == [first]


def test_a_changed_generator_makes_a_new_sample_beside_the_old(task, settings, monkeypatch):
    first = builtin_sample(task, settings)
    monkeypatch.setattr(samples, "generator_stamp", lambda task: "other")

    def write(self, folder):
        (folder / "a1.txt").write_text("generated differently")

    monkeypatch.setattr(type(task), "write_builtin_sample", write)
    second = builtin_sample(task, settings)
    assert second.dataset_id != first.dataset_id
    assert first.root.is_dir()


def test_a_sample_that_fails_half_way_leaves_nothing(task, settings, monkeypatch):
    def fail(self, folder):
        (folder / "a1.txt").write_text("half")
        raise RuntimeError

    good = type(task).write_builtin_sample
    monkeypatch.setattr(type(task), "write_builtin_sample", fail)
    with pytest.raises(RuntimeError):
        builtin_sample(task, settings)
    assert list((settings.data / "samples" / "words").iterdir()) == []
    monkeypatch.setattr(type(task), "write_builtin_sample", good)
    assert (builtin_sample(task, settings).root / "a1.txt").read_text() == "generated"
