import shutil

import pytest

from pipelines.datasets import (
    builtin_sample,
    dataset_title,
    delete_dataset,
    list_datasets,
    load_report,
    register,
    samples,
)
from pipelines.text import render


def test_the_sample_is_written_once_and_called_generated(task, settings, monkeypatch):
    first = builtin_sample(task, settings)
    assert first.is_generated
    # Neither may be called again: pages ask for the sample whenever they are drawn.
    monkeypatch.setattr(type(task), "write_builtin_sample", None)
    monkeypatch.setattr(type(task), "inspect", None)
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


def test_a_deleted_sample_comes_back_when_it_is_asked_for(task, settings):
    first = builtin_sample(task, settings)
    delete_dataset(first.dataset_id, settings)
    again = builtin_sample(task, settings)
    assert again.dataset_id == first.dataset_id
    assert list_datasets(settings) == [again]


def test_a_copy_of_the_sample_may_be_thrown_away(task, settings, tmp_path):
    sample = builtin_sample(task, settings)
    copy = tmp_path / "copy"
    shutil.copytree(sample.root, copy)
    assert register(task, copy, {}, settings) == sample
    shutil.rmtree(copy)
    assert builtin_sample(task, settings).root.is_dir()
    assert load_report(sample.dataset_id, settings).source.exists()


def test_only_what_was_generated_is_called_so(task, source, settings):
    assert render(dataset_title(builtin_sample(task, settings)), "fr") == "Exemple intégré (généré)"
    assert render(dataset_title(register(task, source, {}, settings)), "fr") == "Été 2012"
