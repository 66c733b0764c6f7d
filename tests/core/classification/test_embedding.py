"""Maps and clusters of features whose structure is known."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.core.classification import embedding
from pipelines.core.classification.atlas import Atlas, MapControls, read_aloud


def _features(num_subjects=10, per_subject=12, *, class_pull=0.0, subject_pull=0.0, seed=0):
    """Make features that speak of the class, of the subject, or of nothing."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(num_subjects), per_subject)
    labels = subjects % 2
    features = rng.normal(size=(len(labels), 16))
    features[:, 0] += class_pull * labels
    features[:, 4:] += subject_pull * rng.normal(size=(num_subjects, 12))[subjects]
    return features.astype(np.float32), labels, np.array([f"s{s}" for s in subjects])


def test_main_directions_are_those_of_scikit_learn_up_to_the_fixed_sign():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    features, _, _ = _features(subject_pull=2)
    slow = PCA(5).fit_transform(StandardScaler().fit_transform(features.astype(float)))
    found = embedding.reduce_features(features, 5)
    np.testing.assert_allclose(np.abs(found), np.abs(slow), atol=1e-3)
    np.testing.assert_array_equal(found, embedding.reduce_features(features.copy(), 5))


def test_one_torn_picture_does_not_press_the_others_into_a_line():
    """Three of 954 real cells had taken the second direction of the map for themselves."""
    features, _, _ = _features(class_pull=6, subject_pull=0.5)
    features[0] = 80 * np.random.default_rng(3).normal(size=16)
    plane = embedding.project(features, "pca")
    spread = np.ptp(plane[1:], axis=0) / np.ptp(plane, axis=0)
    assert spread.min() > 0.25


@pytest.mark.parametrize("how", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.slow)])
def test_a_map_keeps_two_clouds_apart_and_is_the_same_again(how):
    features, labels, _ = _features(class_pull=0)
    features += 12 * labels[:, None]
    plane = embedding.project(features, how)
    assert plane.shape == (len(labels), 2)
    assert reference.silhouette_score(plane, labels) > 0.5
    np.testing.assert_array_equal(plane, embedding.project(features, how))


@pytest.mark.parametrize("how", embedding.CLUSTERINGS)
def test_clouds_are_found_as_clusters_and_scored_as_scikit_learn_does(how):
    features, labels, groups = _features()
    features += 12 * labels[:, None]
    clusters, scores = embedding.study_clusters(features, labels, groups, how, 2)
    inside = clusters >= 0
    assert inside.mean() > 0.9
    assert scores["ari_labels"] == pytest.approx(1)
    assert scores["nmi_groups"] == pytest.approx(
        reference.normalized_mutual_info_score(groups[inside], clusters[inside])
    )


def test_without_groups_or_labels_nothing_is_compared():
    features, labels, _ = _features()
    alone = np.array([f"own{i}" for i in range(len(labels))])
    _, scores = embedding.study_clusters(features, np.full_like(labels, -1), alone, "kmeans", 2)
    assert np.isnan([scores[n] for n in ("ari_labels", "nmi_labels", "ari_groups")]).all()
    assert embedding.read_neighbours(embedding.compare_neighbours(features, labels, alone)) == (
        "unknown"
    )


@pytest.mark.parametrize(
    ("pulls", "verdict"),
    [
        ({"class_pull": 12}, "classes"),
        ({"subject_pull": 6}, "groups"),
        ({"class_pull": 60, "subject_pull": 1.5}, "both"),
        ({}, "neither"),
    ],
)
def test_neighbours_tell_the_class_from_the_subject(pulls, verdict):
    features, labels, groups = _features(**pulls)
    if verdict == "both":  # scaling evens out directions: let many of them speak of the class
        features[:, :4] += 30 * labels[:, None]
    shares = embedding.compare_neighbours(features, labels, groups)
    assert embedding.read_neighbours(shares) == verdict
    assert read_aloud(shares).title.id == f"classes_panel.map.sees.{verdict}"


def test_chances_are_those_of_all_pairs_counted_one_by_one():
    _, labels, groups = _features(num_subjects=5, per_subject=3)
    pairs = [(a, b) for a in range(15) for b in range(15) if a != b]
    same = np.mean([labels[a] == labels[b] for a, b in pairs])
    others = np.mean([labels[a] == labels[b] for a, b in pairs if groups[a] != groups[b]])
    numbers = np.unique(groups, return_inverse=True)[1]
    assert embedding._chance(labels) == pytest.approx(same)
    assert embedding._chance_of_others(labels, numbers) == pytest.approx(others)


def test_colours_of_the_map_mean_what_they_say():
    atlas = Atlas(
        ("a", "b", "c"), np.zeros((3, 2), np.float32), np.array([0, 1, -1]),
        np.array(["s", "s", "c"]), np.array([[0.9, 0.1], [0.99, 0.01], [0.4, 0.6]]), ("no", "yes"),
    )  # fmt: skip
    plane, clusters = np.zeros((3, 2)), np.array([2, -1, 2])

    def words(by, threshold=0.5):
        view = atlas.scatter(plane, MapControls(colour_by=by), clusters, threshold)
        return [view.names[s].params["value"] for s in view.series]

    assert words("label") == ["no", "yes", "–"]
    assert words("decided") == ["no", "no", "yes"]
    assert words("decided", 0.05) == ["yes", "no", "yes"]
    assert words("group") == ["s", "s", "c"]
    assert words("cluster") == ["2", "–", "2"]
    assert words("loss") == ["0.1 – 0.7", "> 2", "–"]


def test_a_map_by_a_backbone_says_so():
    """The title used to speak of the model's features whatever was shown."""
    none = np.zeros(0)
    own = Atlas(("a",), np.zeros((1, 2), np.float32), none, none, none, ())
    other = own.with_features(np.ones((1, 3), np.float32), "resnet18")
    titles = [
        atlas.scatter(np.zeros((1, 2)), MapControls(colour_by="group"), none, 0.5).title
        for atlas in (own, other)
    ]
    assert "resnet18" not in titles[0].params.values()
    assert "resnet18" in titles[1].params.values()
    assert other.features.shape == (1, 3)
