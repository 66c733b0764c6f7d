"""A slow transcription of the challenge's published rules, table by table and tree by tree."""

import pandas as pd
from scipy.spatial import KDTree


def slow_score(solution, submission, radii, weights, *, beta=4):
    """Score as the rules say: one KD-tree for each tomogram and kind; returns score and counts."""
    unknown = set(submission["particle_type"]) - set(weights)
    if unknown:
        raise ValueError(f"unknown particle types: {unknown}")
    submission = submission[submission["experiment"].isin(set(solution["experiment"]))]
    counts = {kind: [0, 0, 0] for kind in weights}
    for experiment in sorted(set(solution["experiment"])):
        for kind in weights:
            reference = _points(solution, experiment, kind)
            candidates = _points(submission, experiment, kind)
            for place, number in enumerate(_count(reference, candidates, 0.5 * radii[kind])):
                counts[kind][place] += number
    total = 0.0
    for kind, (tp, fp, fn) in counts.items():
        precision = tp / (tp + fp) if tp + fp > 0 else 0
        recall = tp / (tp + fn) if tp + fn > 0 else 0
        score = 0.0
        if precision + recall > 0:
            score = (1 + beta**2) * (precision * recall) / (beta**2 * precision + recall)
        total += score * weights[kind]
    return total / sum(weights.values()), counts


def _points(table, experiment, kind):
    mask = (table["experiment"] == experiment) & (table["particle_type"] == kind)
    return table.loc[mask, ["x", "y", "z"]].to_numpy()


def _count(reference, candidates, radius):
    if len(reference) == 0:
        return 0, len(candidates), 0
    if len(candidates) == 0:
        return 0, 0, len(reference)
    near = KDTree(candidates).query_ball_tree(KDTree(reference), r=radius)
    found = {index for row in near for index in row}
    return len(found), len(candidates) - len(found), len(reference) - len(found)


def to_frame(picks):
    """Return a table of picks as the challenge's data frame."""
    return pd.DataFrame(
        {
            "experiment": picks.experiment_names(),
            "particle_type": picks.kind_names(),
            "x": picks.positions[:, 2],
            "y": picks.positions[:, 1],
            "z": picks.positions[:, 0],
        }
    )
