"""The challenge's score: F-beta with beta = 4 per kind, summed over tomograms, weighted.

Per tomogram and kind, a reference is found when any candidate lies within half the particle's
radius of it: TP = references found, FP = candidates - TP, FN = references - TP. So a second hit on
one reference is a false positive, and one candidate that hits two references makes two true
positives and may push FP below zero; the official figure is kept. TP, FP and FN are summed over
tomograms per kind; the score is `sum(weight * F) / sum(weight)`, and 0/0 counts as 0.

Fast path: references and candidates are numbered by (tomogram, kind, cell of at least one hit
radius); sorted cell numbers make the neighbourhood of a reference nine ranges of a sorted array, so
that all tomograms and kinds are answered in one pass without a tree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import ItemStatistics, OperatingPoint, ThresholdSource
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.particles import Particle, by_name
from pipelines.tasks.cryoet_picking.picks import Floats, Integers, Picks
from pipelines.text import Text

BETA = 4.0
# Thresholds at which rows keep counts; a candidate counts from its score on.
THRESHOLDS: Floats = np.round(np.arange(0.01, 0.991, 0.01), 2)
# Spread of the shift, in logits, between tomograms and networks; measured on folds.
_SHIFT_LOGIT = 1.0
# Columns of the volume along y and x in which counts are kept apart: 3 x 3 of about 2,000 angstrom.
PLACES_A_SIDE = 3
_MAX_PAIRS = 4_000_000  # pairs of neighbours looked at together: about 250 MB


@dataclass(frozen=True)
class Counts:
    """Hold TP, FP and FN of one kind; FP may be negative (see the module's text)."""

    tp: float
    fp: float
    fn: float


def f_beta_score(counts: Counts, *, beta: float = BETA) -> float:
    """Compute F-beta; what is 0/0 counts as 0, as in the challenge."""
    precision, recall = precision_recall(counts)
    if precision + recall <= 0:
        return 0.0
    return (1 + beta**2) * (precision * recall) / (beta**2 * precision + recall)


def precision_recall(counts: Counts) -> tuple[float, float]:
    """Compute precision and recall; 0/0 counts as 0."""
    candidates, references = counts.tp + counts.fp, counts.tp + counts.fn
    precision = counts.tp / candidates if candidates > 0 else 0.0
    recall = counts.tp / references if references > 0 else 0.0
    return precision, recall


def weighted_score(
    counts: Mapping[str, Counts], particles: Sequence[Particle], *, beta: float = BETA
) -> float:
    """Weigh the F-beta of the kinds; a kind without counts adds 0 and keeps its weight."""
    total, weights = 0.0, 0.0
    for particle in particles:
        found = counts.get(particle.name, Counts(0, 0, 0))
        total += f_beta_score(found, beta=beta) * particle.weight
        weights += particle.weight
    return total / weights if weights > 0 else 0.0


def count_hits(
    candidates: Picks, references: Picks, particles: Sequence[Particle]
) -> dict[str, Counts]:
    """Sum TP, FP and FN per kind over the tomograms of the references.

    Args:
        candidates: What was picked; tomograms that the references lack are dropped.
        references: The true picks; every kind must be among the particles.
        particles: Kinds with their radii.

    Raises:
        DataFormatError: A candidate is of a kind that is not among the particles.
    """
    pool = _Pool.build(candidates, references, particles)
    found = np.isfinite(pool.best_hit_scores())
    num_kinds = len(particles)
    tp = np.bincount(pool.reference_kind[found], minlength=num_kinds)
    num_references = np.bincount(pool.reference_kind, minlength=num_kinds)
    num_candidates = np.bincount(pool.candidate_kind, minlength=num_kinds)
    return {
        p.name: Counts(int(tp[k]), int(num_candidates[k] - tp[k]), int(num_references[k] - tp[k]))
        for k, p in enumerate(particles)
    }


def f4_score(candidates: Picks, references: Picks, particles: Sequence[Particle]) -> float:
    """Compute the challenge's score of all candidates, whatever their own scores."""
    return weighted_score(count_hits(candidates, references, particles), particles)


def hit_flags(
    candidates: Picks, references: Picks, particles: Sequence[Particle]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell for pictures which candidates are the best hit of a reference, and which are found.

    Returns:
        `(N,)` bool of the candidates: the surest hit of some reference; and `(M,)` bool of the
        references: hit by any candidate.
    """
    is_hit = np.zeros(len(candidates), bool)
    is_found = np.zeros(len(references), bool)
    rows, columns = _near_pairs(candidates, references, particles)
    is_found[columns] = True
    order = np.lexsort((rows, -candidates.scores[rows], columns))  # the surest of each
    is_first = np.diff(columns[order], prepend=-1) != 0
    is_hit[rows[order][is_first]] = True
    return is_hit, is_found


def _near_pairs(
    candidates: Picks, references: Picks, particles: Sequence[Particle]
) -> tuple[Integers, Integers]:
    """Return candidates and references of one tomogram and kind within the hit radius."""
    from scipy.spatial import KDTree  # type: ignore[import-untyped]

    found = [np.zeros((0, 2), np.int64)]
    own = list(zip(candidates.experiment_names(), candidates.kind_names(), strict=True))
    others = list(zip(references.experiment_names(), references.kind_names(), strict=True))
    radius = {p.name: p.hit_radius_angstrom for p in particles}
    for group in sorted(set(own) & set(others)):
        rows = np.array([i for i, g in enumerate(own) if g == group])
        columns = np.array([i for i, g in enumerate(others) if g == group])
        limit = radius.get(group[1], 0.0)
        tree, other = KDTree(candidates.positions[rows]), KDTree(references.positions[columns])
        # the tree rounds in its own way: a little more is asked for, and the rule decides
        near = tree.sparse_distance_matrix(other, limit * 1.001 + 1e-9, output_type="ndarray")
        pairs = np.column_stack([rows[near["i"]], columns[near["j"]]])
        delta = candidates.positions[pairs[:, 0]] - references.positions[pairs[:, 1]]
        found.append(pairs[_squared(delta) <= limit**2])
    pairs = np.concatenate(found)
    return pairs[:, 0], pairs[:, 1]


# --- the fast path --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pool:
    """Hold both sides numbered alike; `group` is the number of (tomogram, kind)."""

    reference_group: Integers
    reference_kind: Integers
    reference_positions: Floats
    candidate_group: Integers
    candidate_kind: Integers
    candidate_positions: Floats
    candidate_scores: Floats
    radii: Floats  # hit radius of each kind, angstrom

    @staticmethod
    def build(candidates: Picks, references: Picks, particles: Sequence[Particle]) -> _Pool:
        """Match names, and drop candidates of tomograms that the references lack."""
        numbers = {p.name: k for k, p in enumerate(particles)}
        places = {e: i for i, e in enumerate(references.experiments)}
        own = np.array([places.get(e, -1) for e in candidates.experiments] or [-1], np.int64)
        experiment = own[candidates.experiment_index]
        kept = experiment >= 0
        kinds = _kind_map(candidates, numbers, particles, kept)
        reference_kind = _kind_map(references, numbers, particles, np.ones(len(references), bool))
        K = len(particles)
        return _Pool(
            references.experiment_index * K + reference_kind,
            reference_kind,
            references.positions,
            experiment[kept] * K + kinds[kept],
            kinds[kept],
            candidates.positions[kept],
            candidates.scores[kept],
            np.array([p.hit_radius_angstrom for p in particles]),
        )

    def best_hit_scores(self) -> Floats:
        """Return `(M,)` the highest score of a candidate that hits each reference, else -inf."""
        best = np.full(len(self.reference_group), -np.inf)
        if not len(best) or not len(self.candidate_group):
            return best
        cells = _Cells.fit(self)
        sorted_keys, rows = cells.sort_candidates(self)
        low, high = cells.ranges(self, sorted_keys)
        for start, stop in _chunks(high - low):
            self._update(best, rows, low[start:stop], high[start:stop], start)
        return best

    def _update(
        self, best: Floats, rows: Integers, low: Integers, high: Integers, start: int
    ) -> None:
        """Look at the pairs of references `start`... with `(C, 9)` ranges of sorted candidates."""
        lengths = (high - low).ravel()
        reference = start + np.repeat(np.arange(len(low)), (high - low).sum(1))
        offsets = np.arange(len(reference)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        candidate = rows[np.repeat(low.ravel(), lengths) + offsets]
        delta = self.candidate_positions[candidate] - self.reference_positions[reference]
        near = _squared(delta) <= self.radii[self.reference_kind[reference]] ** 2
        # Cells wrap where a candidate lies outside the references' box: the group must agree too.
        near &= self.candidate_group[candidate] == self.reference_group[reference]
        np.maximum.at(best, reference[near], self.candidate_scores[candidate[near]])


@dataclass(frozen=True)
class _Cells:
    """Number cells of at least one hit radius within the box of the references."""

    origin: Floats
    sizes: Floats  # (K,) side of a cell of each kind
    shape: Integers  # (3,) cells along z, y, x, margin included

    @staticmethod
    def fit(pool: _Pool) -> _Cells:
        """Choose cells so that every number fits 62 bits."""
        radius = pool.radii.max()
        origin = pool.reference_positions.min(0) - 2 * radius
        extent = pool.reference_positions.max(0) + 2 * radius - origin
        groups = float(pool.reference_group.max() + 1)
        sizes = pool.radii.copy()
        shape = np.ceil(extent / sizes.min()) + 3
        while groups * float(np.prod(shape)) > 2.0**62:
            sizes, shape = sizes * 2, np.ceil(extent / (sizes.min() * 2)) + 3
        return _Cells(origin, sizes, shape.astype(np.int64))

    def _keys(self, positions: Floats, kind: Integers, group: Integers) -> Integers:
        scale = 1.0 / self.sizes[kind]
        key = group.copy()
        for axis in range(3):
            cell = ((positions[:, axis] - self.origin[axis]) * scale).astype(np.int64) + 1
            key *= self.shape[axis]
            key += cell
        return key

    def sort_candidates(self, pool: _Pool) -> tuple[Integers, Integers]:
        """Return the sorted keys of candidates near the references, and their rows."""
        low, high = self.origin, self.origin + pool.radii.max() * 4
        high = pool.reference_positions.max(0) + 2 * pool.radii.max()
        rows = np.arange(len(pool.candidate_group))
        inside = np.ones(len(rows), bool)
        for axis in range(3):  # a NaN is outside too
            values = pool.candidate_positions[:, axis]
            inside &= (values >= low[axis]) & (values <= high[axis])
        if not inside.all():
            rows = rows[inside]
        keys = self._keys(
            pool.candidate_positions[rows], pool.candidate_kind[rows], pool.candidate_group[rows]
        )
        order = np.argsort(keys)
        return keys[order], rows[order]

    def ranges(self, pool: _Pool, sorted_keys: Integers) -> tuple[Integers, Integers]:
        """Return `(M, 9)` first and last index of the candidates in the cells around each."""
        keys = self._keys(pool.reference_positions, pool.reference_kind, pool.reference_group)
        Y, X = self.shape[1], self.shape[2]
        steps = np.array([(dz * Y + dy) * X for dz in (-1, 0, 1) for dy in (-1, 0, 1)])
        order = np.argsort(keys)
        low = np.empty((len(keys), 9), np.int64)
        high = np.empty((len(keys), 9), np.int64)
        for column, step in enumerate(steps):  # sorted questions are answered from the cache
            wanted = keys[order] + step
            low[order, column] = np.searchsorted(sorted_keys, wanted - 1, "left")
            high[order, column] = np.searchsorted(sorted_keys, wanted + 1, "right")
        return low, high


def _kind_map(
    picks: Picks,
    numbers: Mapping[str, int],
    particles: Sequence[Particle],
    kept: NDArray[np.bool_],
) -> Integers:
    used = set(np.unique(picks.kind_index[kept]).tolist())
    for index in sorted(used):
        by_name(particles, picks.kinds[index])  # raises for an unknown kind
    table = np.array([numbers.get(k, -1) for k in picks.kinds] or [-1], np.int64)
    return table[picks.kind_index]


def _squared(delta: Floats) -> Floats:
    """Return squared lengths, summed x, y, z as the official code does."""
    result: Floats = delta[:, 2] ** 2 + delta[:, 1] ** 2 + delta[:, 0] ** 2
    return result


def _chunks(lengths: Integers) -> list[tuple[int, int]]:
    """Divide references so that each part looks at a bounded number of pairs."""
    total = np.cumsum(lengths.sum(1))
    cuts = [0]
    while cuts[-1] < len(total):
        seen = total[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(total, seen + _MAX_PAIRS, "right"))))
    return list(itertools.pairwise(cuts))


# --- rows of the contract ---------------------------------------------------------------------


def measure(
    candidates: Picks, references: Picks, particles: Sequence[Particle], *, group: str
) -> ItemStatistics:
    """Count one tomogram at every threshold, a row per kind and threshold.

    Args:
        candidates: Picks of one tomogram with scores in [0, 1].
        references: Its true picks.
        particles: Kinds with radii and weights.
        group: Group of the item.

    Returns:
        Columns item_id, group, kind (str), weight (float64), threshold (float64), tp, fp, fn
        (int64), and tp_at, fp_at, fn_at, `(R, 9)` int32, which part of the volume they lie in; FP
        may be negative.
    """
    if len(references.experiments) != 1:
        raise DataFormatError(Text("cryoet.one_tomogram", n=len(references.experiments)))
    K, T = len(particles), len(THRESHOLDS)
    pool = _Pool.build(candidates, references, particles)
    counts = _counts_by_place(pool, K)
    columns: dict[str, NDArray[Any]] = {
        "item_id": np.full(K * T, references.experiments[0]),
        "group": np.full(K * T, group),
        "kind": np.repeat([p.name for p in particles], T),
        "weight": np.repeat([float(p.weight) for p in particles], T),
        "threshold": np.tile(THRESHOLDS, K),
        **{name: at.sum(axis=1) for name, at in counts.items()},
        **{f"{name}_at": at.astype(np.int32) for name, at in counts.items()},
    }
    return ItemStatistics(columns)


def _counts_by_place(pool: _Pool, num_kinds: int) -> dict[str, Integers]:
    """Count tp, fp and fn of each kind and threshold, `(K * T, 9)`, by part of the volume.

    The true picks span the parts, so that they are the same for every model. A hit counts where the
    true pick lies, a candidate where it lies itself.
    """
    best = pool.best_hit_scores()
    corners = pool.reference_positions
    reference_place = _places(pool.reference_positions, corners)
    candidate_place = _places(pool.candidate_positions, corners)
    found: dict[str, list[Integers]] = {"tp": [], "fp": [], "fn": []}
    for kind, place in itertools.product(range(num_kinds), range(PLACES_A_SIDE**2)):
        here = (pool.reference_kind == kind) & (reference_place == place)
        tp = _at_least(best[here])
        near = (pool.candidate_kind == kind) & (candidate_place == place)
        found["tp"].append(tp)
        found["fp"].append(_at_least(pool.candidate_scores[near]) - tp)
        found["fn"].append(np.count_nonzero(here) - tp)
    shape = (num_kinds, PLACES_A_SIDE**2, len(THRESHOLDS))
    return {
        name: np.reshape(counts, shape).swapaxes(1, 2).reshape(-1, shape[1])
        for name, counts in found.items()
    }


def _places(positions: Floats, corners: Floats) -> Integers:
    """Return `(N,)` the part of the box of some points, along y and x, that each position is in."""
    if not len(positions) or not len(corners):
        return np.zeros(len(positions), np.int64)
    low, high = corners[:, 1:].min(axis=0), corners[:, 1:].max(axis=0)
    share = (positions[:, 1:] - low) / np.maximum(high - low, 1e-9)
    steps = np.clip(np.floor(share * PLACES_A_SIDE), 0, PLACES_A_SIDE - 1).astype(np.int64)
    result: Integers = steps[:, 0] * PLACES_A_SIDE + steps[:, 1]
    return result


def _at_least(scores: Floats) -> Integers:
    """Count the scores at or above each threshold (float32 scores may stand a hair below)."""
    counts = len(scores) - np.searchsorted(np.sort(scores), THRESHOLDS - 1e-6, "left")
    return counts.astype(np.int64)


@dataclass(frozen=True)
class KindCurves:
    """Hold pooled counts of one kind over `THRESHOLDS`.

    Attributes:
        weight: Weight of the kind.
        tp: `(T,)` summed over rows.
        fp: `(T,)`.
        fn: `(T,)`.
    """

    weight: float
    tp: Floats
    fp: Floats
    fn: Floats

    def at(self, threshold: float) -> Counts:
        """Return the counts at the nearest threshold."""
        index = int(np.argmin(np.abs(THRESHOLDS - threshold)))
        return Counts(float(self.tp[index]), float(self.fp[index]), float(self.fn[index]))

    def f_beta(self, beta: float = BETA) -> Floats:
        """Return F-beta at every threshold."""
        triples = zip(self.tp, self.fp, self.fn, strict=True)
        return np.array([f_beta_score(Counts(*t), beta=beta) for t in triples])

    def precision_recall(self) -> tuple[Floats, Floats]:
        """Return precision and recall at every threshold."""
        triples = zip(self.tp, self.fp, self.fn, strict=True)
        pairs = np.array([precision_recall(Counts(*t)) for t in triples])
        return pairs[:, 0], pairs[:, 1]


def pool_rows(rows: ItemStatistics) -> dict[str, KindCurves]:
    """Sum the rows of any tomograms per kind; rows may repeat, as a bootstrap does."""
    columns = rows.columns
    kinds, kind_index = np.unique(columns["kind"], return_inverse=True)
    place = np.rint(columns["threshold"] * 100).astype(np.int64) - 1
    T = len(THRESHOLDS)
    sums = {
        name: np.bincount(
            kind_index * T + place, columns[name].astype(float), minlength=len(kinds) * T
        ).reshape(-1, T)
        for name in ("tp", "fp", "fn")
    }
    curves = {}
    for k, kind in enumerate(kinds.tolist()):
        weight = float(columns["weight"][kind_index == k][0])
        curves[kind] = KindCurves(weight, sums["tp"][k], sums["fp"][k], sums["fn"][k])
    return curves


def threshold_of(point: OperatingPoint, kind: str) -> float:
    """Return the threshold of a kind; a single one named "threshold" holds for all."""
    fallback = point.thresholds.get("threshold", 0.5)
    return float(point.thresholds.get(kind, fallback))


def reduce_rows(rows: ItemStatistics, point: OperatingPoint) -> dict[str, float]:
    """Compute F4, precision and recall over all scored kinds, and F4 of each kind.

    Precision and recall pool the counts of the scored kinds; a kind that has neither references
    nor candidates is undefined (NaN) on its own and adds 0 to the total, as in the challenge.
    """
    pooled = {k: (c.weight, c.at(threshold_of(point, k))) for k, c in pool_rows(rows).items()}
    total = sum(w * f_beta_score(c) for w, c in pooled.values())
    weights = sum(w for w, _ in pooled.values())
    scored = [c for w, c in pooled.values() if w > 0]
    summed = Counts(sum(c.tp for c in scored), sum(c.fp for c in scored), sum(c.fn for c in scored))
    precision, recall = precision_recall(summed)
    figures = {
        "f4": total / weights if weights > 0 else float("nan"),
        "precision": precision,
        "recall": recall,
    }
    for kind, (_, counts) in pooled.items():
        is_defined = counts.tp + counts.fn > 0 or counts.tp + counts.fp > 0
        figures[f"f4_{kind}"] = f_beta_score(counts) if is_defined else float("nan")
    return figures


def best_thresholds(rows: ItemStatistics) -> dict[str, float]:
    """Return for each kind the threshold that promises the best F4 on other tomograms.

    Kinds add up in the score, so that the best of each is the best of all. Scores of another
    tomogram or network are a little higher or lower, and F4 over few references is a staircase with
    wide steps: what is sought is the best mean of F4 over normal shifts of the scores' logits. On
    a plateau this stands off both edges, and further off the upper one, where picks are lost: with
    beta = 4 that costs sixteen times as much as a false pick.
    """
    blur = _shifts(THRESHOLDS, _SHIFT_LOGIT)
    chosen = {}
    for kind, curves in pool_rows(rows).items():
        expected = blur @ curves.f_beta()
        top = np.flatnonzero(expected >= expected.max() - 1e-9)
        chosen[kind] = float(THRESHOLDS[top[len(top) // 2]]) if expected.max() > 0 else 0.5
    return chosen


def expected_score(rows: ItemStatistics) -> float:
    """Return the weighted mean over the kinds of what `best_thresholds` promises, in [0, 1].

    It changes less by luck than the score at the best thresholds.
    """
    blur = _shifts(THRESHOLDS, _SHIFT_LOGIT)
    pooled = pool_rows(rows).values()
    total = sum(c.weight * float((blur @ c.f_beta()).max()) for c in pooled)
    weights = sum(c.weight for c in pooled)
    return total / weights if weights > 0 else 0.0


def _shifts(thresholds: Floats, spread: float) -> Floats:
    """Return `(T, T)`, row t: how likely a threshold acts like each one if logits shift.

    What would act like one beyond the first or the last is not counted: a plateau that reaches an
    end, where nothing was measured, is not entered to its end.
    """
    borders = np.concatenate([[0.005], (thresholds[1:] + thresholds[:-1]) / 2, [0.995]])
    steps = (_logit(borders)[None, :] - _logit(thresholds)[:, None]) / spread
    reached: Floats = 0.5 * (1 + np.vectorize(math.erf)(steps / np.sqrt(2)))
    return np.diff(reached, axis=1)


def _logit(shares: Floats) -> Floats:
    result: Floats = np.log(shares / (1 - shares))
    return result


def point(
    thresholds: Mapping[str, float], source: ThresholdSource = "validation"
) -> OperatingPoint:
    """Make an operating point of one threshold a kind."""
    return OperatingPoint(dict(thresholds), source=source)
