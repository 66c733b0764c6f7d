"""Predictions as files: `predictions.csv`, `submission.csv`, and arrays that the pages open."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.contract import Array, Prediction
from pipelines.core.arrays import read_arrays
from pipelines.core.classification.images import stem_of, table_words
from pipelines.core.classification.labels import column_like, parse_table, values_by_id
from pipelines.core.files import parse_json, replaced_file
from pipelines.errors import DataFormatError, DatasetNotFoundError
from pipelines.text import Text

ARRAYS: Final = "predictions.npz"
TABLE: Final = "predictions.csv"
SUBMISSION: Final = "submission.csv"
UNREAD: Final = "is_unread"
"""Marks, among the values of a prediction, a picture that could not be read."""
_ROUNDING: Final = 1e-6
MOST_EXPLAINED: Final = 20_000
"""Items whose features and heat maps are kept for the pages; probabilities are kept of all."""


def write(
    predictions: Iterable[Prediction], classes: Sequence[str], folder: Path
) -> Iterator[Prediction]:
    """Write what passes by once it has all passed: a table for people, arrays for the pages."""
    kept: list[Prediction] = []
    for prediction in predictions:
        if "classes" in prediction.values:  # the model's own names, whatever the data are called
            classes = prediction.values["classes"].tolist()
        slim = prediction
        if len(kept) >= MOST_EXPLAINED:
            few = ("probabilities", UNREAD)
            only = {n: v for n, v in prediction.values.items() if n in few}
            slim = Prediction(prediction.item_id, prediction.group, only)
        kept.append(slim)
        yield prediction
    if kept:
        folder.mkdir(parents=True, exist_ok=True)
        with replaced_file(folder / TABLE) as table, replaced_file(folder / ARRAYS) as arrays:
            write_table(table, kept, classes)
            _write_arrays(arrays, kept, classes)


def write_table(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write file, class, confidence and one probability a class.

    A picture that could not be read has no class and no confidence, only the shares of classes.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "confidence", *(f"p_{name}" for name in classes)])
        for prediction in predictions:
            odds = prediction.values["probabilities"]
            best = int(np.argmax(odds))
            answer = (
                ("", "") if UNREAD in prediction.values else (classes[best], f"{odds[best]:.6f}")
            )
            writer.writerow([prediction.item_id, *answer, *(f"{p:.6f}" for p in odds)])


def write_submission(path: Path, odds_by_id: Mapping[str, float], order: Sequence[str]) -> None:
    """Write id and probability of the positive class, in a given order."""
    with (
        replaced_file(path) as beside,
        beside.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows([name, f"{odds_by_id[name]:.6f}"] for name in order)


def check_submission(text: str, wanted: Sequence[str], name: str) -> list[Text]:
    """Compare a submission with the sample: ids, their order, and values within [0, 1].

    Args:
        text: Content of the submission.
        wanted: Ids of the sample, in its order; empty when there is no sample.
        name: File name for the sentences.

    Returns:
        What is wrong, one sentence each; empty when it can be handed in.
    """
    table = parse_table(text, name)
    if table.columns[:2] != ("id", "label"):
        return [Text("classes.submission_columns", file=name, columns=", ".join(table.columns))]
    ids = [row["id"] for row in table.rows]
    problems = []
    if "," not in text.splitlines()[0]:
        problems.append(Text("classes_submission.separator", file=name))
    if len(set(ids)) < len(ids):
        problems.append(Text("classes.submission_twice", file=name, n=len(ids) - len(set(ids))))
    problems += _wrong_ids(ids, wanted, name)
    if wanted and ids != list(wanted) and set(ids) == set(wanted) and len(ids) == len(wanted):
        problems.append(Text("classes.submission_order", file=name))
    return [*problems, *_wrong_shares(table.rows, name)]


def _wrong_ids(ids: Sequence[str], wanted: Sequence[str], name: str) -> list[Text]:
    """Name the ids that the sample has and the submission lacks, and the other way round."""
    known, given = set(wanted), set(ids)
    missing = [i for i in wanted if i not in given]
    foreign = [i for i in ids if i not in known] if wanted else []
    if missing and known <= {stem_of(i) for i in ids}:
        return [Text("classes_submission.endings", file=name, got=foreign[0], wanted=missing[0])]
    problems = []
    if missing:
        problems.append(
            Text("classes.submission_missing", file=name, ids=missing[:3], n=len(missing))
        )
    if foreign:
        problems.append(
            Text("classes.submission_foreign", file=name, ids=foreign[:3], n=len(foreign))
        )
    return problems


def _wrong_shares(rows: Sequence[Mapping[str, str]], name: str) -> list[Text]:
    """Name the first value that is no probability, and what it looks like."""
    wrong = [row for row in rows if not _is_share(row["label"])]
    if not wrong:
        return []
    first, value = wrong[0]["id"], wrong[0]["label"]
    if not value:
        return [Text("classes_submission.blank", file=name, id=first, n=len(wrong))]
    if _is_share(value.replace(",", ".")):
        return [Text("classes_submission.comma", file=name, id=first, value=value, n=len(wrong))]
    return [Text("classes.submission_range", file=name, id=first, value=value, n=len(wrong))]


def _is_share(value: str) -> bool:
    try:
        return 0 <= float(value) <= 1
    except ValueError:
        return False


def _write_arrays(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    rich = [p for p in predictions if "features" in p.values]
    columns: dict[str, Array] = {
        "item_id": np.array([p.item_id for p in predictions]),
        "group": np.array([p.group for p in predictions]),
        "probabilities": np.stack([p.values["probabilities"] for p in predictions]),
        "classes": np.array([json.dumps(list(classes))]),
        "rich_id": np.array([p.item_id for p in rich]),
        "temperature": predictions[0].values.get("temperature", np.array(1.0)),
    }
    for name in ("features", "cam", "nearest"):
        if rich and all(name in p.values for p in rich):
            values = np.stack([p.values[name] for p in rich])
            columns[name] = values if name == "nearest" else values.astype(np.float16)
    arrays: dict[str, Any] = columns
    np.savez_compressed(path, **arrays)


def read(path: Path) -> Mapping[str, Prediction]:
    """Open a prediction folder, its arrays, or a CSV of probabilities.

    Raises:
        DataError: Nothing there, or columns without probabilities.
    """
    if path.is_dir():
        for name in (ARRAYS, TABLE, SUBMISSION):
            if (path / name).is_file():
                return read(path / name)
        raise DatasetNotFoundError(Text("classes.no_prediction", path=str(path)))
    if path.suffix.lower() == ".npz":
        return _read_arrays(path)
    return _read_table(path)


def _read_arrays(path: Path) -> dict[str, Prediction]:
    arrays = read_arrays(path)
    try:
        classes, temperature = _checked(arrays)
        places = {str(name): i for i, name in enumerate(arrays["rich_id"].tolist())}
        extra: dict[str, Array] = {
            n: arrays[n] for n in ("features", "cam", "nearest") if n in arrays
        }
        common: dict[str, Array] = {"classes": np.array(classes), "temperature": temperature}
        found: dict[str, Prediction] = {}
        triples = zip(arrays["item_id"], arrays["group"], arrays["probabilities"], strict=True)
        for item_id, group, odds in triples:
            place = places.get(str(item_id))
            rich = {} if place is None else {n: kept[place] for n, kept in extra.items()}
            values: dict[str, Array] = {"probabilities": odds, **common, **rich}
            found[str(item_id)] = Prediction(str(item_id), str(group), values)
        return found
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataFormatError(Text("files.damaged_arrays", file=path.name)) from error


def _checked(arrays: Mapping[str, Array]) -> tuple[list[str], Array]:
    """Return the names of the classes and the temperature; shares must be shares of them."""
    classes = [str(name) for name in parse_json(str(arrays["classes"][0]))]
    shares, temperature = arrays["probabilities"], arrays.get("temperature", np.array(1.0))
    if shares.shape != (len(arrays["item_id"]), len(classes)) or len(classes) < 2:
        raise ValueError(f"shares of shape {shares.shape} of {len(classes)} classes")
    if not (np.abs(shares - 0.5) <= 0.5 + _ROUNDING).all():  # NaN fails here too
        raise ValueError("shares outside of 0 and 1")
    if temperature.size != 1 or not 0 < float(temperature) < np.inf:
        raise ValueError("a temperature that is none")
    return classes, temperature


def _read_table(path: Path) -> dict[str, Prediction]:
    """Read a table of ours, or a submission of id and probability."""
    table = parse_table(table_words(path.read_bytes()), path.name)
    key = column_like(table, ("file", "id", "image", "name", "new_names"))
    odds_columns = [c for c in table.columns if c.startswith("p_")]
    single = column_like(table, ("label", "probability", "p_all", "score"))
    if key is None or (not odds_columns and single is None):
        raise DataFormatError(
            Text("classes.no_columns", file=path.name, columns=", ".join(table.columns))
        )
    values_by_id(table, key, key)
    found: dict[str, Prediction] = {}
    for row in table.rows:
        odds = _odds_of(row, odds_columns, single, path.name)
        name = row[key]
        if name in found:
            raise DataFormatError(Text("classes.submission_twice", file=path.name, n=1))
        found[name] = Prediction(name, name, {"probabilities": odds})
    return found


def _odds_of(
    row: Mapping[str, str], columns: Sequence[str], single: str | None, name: str
) -> Array:
    try:
        shares = [float(row[c]) for c in (columns or [single or ""])]
    except ValueError as error:
        raise DataFormatError(Text("classes.not_a_number", file=name)) from error
    wrong = [share for share in shares if not 0 <= share <= 1]  # NaN is wrong here too
    if wrong:
        raise DataFormatError(Text("classes.not_a_share", file=name, value=wrong[0]))
    return np.array(shares if len(shares) > 1 else [1 - shares[0], shares[0]])


def refuse_gaps(labels: Mapping[str, int], item_ids: Sequence[str], name: str) -> None:
    """Refuse a prediction that leaves out pictures of a table of labels.

    Raises:
        DataFormatError: Some are left out, but not all of them (then the ids are others).
    """
    known = {stem_of(i) for i in item_ids}
    missing = [i for i in labels if stem_of(i) not in known]
    if missing and len(missing) < len(labels):
        raise DataFormatError(
            Text("classes.prediction_missing", file=name, ids=missing[:3], n=len(missing))
        )
