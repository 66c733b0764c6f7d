"""Keep beside a run what is needed to believe it: one row an item, and where it was computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.contract import Array, ItemStatistics, Prediction
from pipelines.core.files import disk_errors, write_json
from pipelines.core.provenance import code_version, describe_machine, package_versions
from pipelines.errors import DataFormatError
from pipelines.text import Text

ITEMS: Final = "items.parquet"
ENVIRONMENT: Final = "environment.json"
_LONGEST_ANSWER: Final = 16
"""Longest array of a prediction that becomes columns; longer ones stand in the field's files."""
_MOST_MEASURED: Final = 5_000
"""Items up to which every figure is also computed of each item alone, a few ms each."""

Reduce = Callable[[ItemStatistics], Mapping[str, float]]


def keep_environment(folder: Path, wish: str) -> None:
    """Write which machine, device, code and packages a run is worked on with.

    Args:
        folder: Folder of the run.
        wish: Device that the run asks for; where torch is loaded already, what it really chose.
    """
    facts = describe_machine(wish)
    if "torch" in sys.modules:
        from pipelines.core.device import choose_device

        facts["device"]["kind"] = choose_device(wish).type  # type: ignore[arg-type] # checked there
    facts |= {"code_version": code_version(), "versions": package_versions()}
    write_json(folder / ENVIRONMENT, facts)


def read_environment(folder: Path) -> dict[str, Any]:
    """Read what `keep_environment` wrote; {} for a run of an earlier version."""
    try:
        facts = json.loads((folder / ENVIRONMENT).read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


class ItemTable:
    """Gather a row an item while predictions pass by, and write them as Parquet at the end.

    Short numeric answers (class probabilities) become columns; pictures and lists of picks stay in
    the files that the field uses.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {"item_id": [], "group": []}

    def __len__(self) -> int:
        return len(self._columns["item_id"])

    def add(self, prediction: Prediction) -> None:
        """Add the row of an item."""
        row: dict[str, Any] = {"item_id": prediction.item_id, "group": prediction.group}
        for name, value in prediction.values.items():
            row.update(_short_numbers(name, np.asarray(value)))
        before = len(self)
        for name in row.keys() - self._columns.keys():
            self._columns[name] = [None] * before
        for name, column in self._columns.items():
            column.append(row.get(name))

    def write(
        self,
        path: Path,
        *,
        part_of: Mapping[str, str],
        rows: ItemStatistics | None,
        reduce: Reduce,
        facts: Mapping[str, Any],
    ) -> None:
        """Write the table.

        Args:
            path: Parquet file, replaced.
            part_of: Item to the part that it was scored in.
            rows: What the figures are made of, or None where nothing has a truth.
            reduce: Figures of rows at the operating point of the run.
            facts: Plain JSON values kept in the file: task, operating point, data fingerprint.
        """
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]

        ids = self._columns["item_id"]
        columns: dict[str, Any] = {
            "item_id": ids,
            "group": self._columns["group"],
            "part": [part_of.get(i, "") for i in ids],
        }
        columns |= {n: c for n, c in self._columns.items() if n not in columns}
        columns |= _scored_columns(ids, rows, reduce)
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        table = table.replace_schema_metadata({"microscopy": json.dumps(dict(facts))})
        beside = path.with_name(f".{path.name}.part")
        with disk_errors(path):
            parquet.write_table(table, beside, compression="zstd")
            beside.replace(path)


def read_items(path: Path) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Read a table of items.

    Returns:
        Column to its values, and the facts that were kept with them.

    Raises:
        DataFormatError: It is no Parquet file, or a damaged one.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
        facts = json.loads((table.schema.metadata or {}).get(b"microscopy", b"{}"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataFormatError(Text("evidence.damaged_items", file=path.name)) from error
    return table.to_pydict(), facts


def _short_numbers(name: str, value: Array) -> dict[str, float]:
    """Return an answer as columns, or nothing where it is long or no number."""
    is_short = value.ndim < 2 and value.size <= _LONGEST_ANSWER
    if not is_short or not np.issubdtype(value.dtype, np.number):
        return {}
    if value.ndim == 0:
        return {name: value.item()}
    return {f"{name}_{index}": number.item() for index, number in enumerate(value)}


def _scored_columns(
    ids: list[str], rows: ItemStatistics | None, reduce: Reduce
) -> dict[str, list[Any]]:
    """Return the rows' own columns where an item has one row, else the figures of each item."""
    if rows is None or not len(rows):
        return {}
    scored = rows.item_ids()
    if len(scored) == len(rows):
        places = {item_id: place for place, item_id in enumerate(rows.columns["item_id"].tolist())}
        kept = {n: c.tolist() for n, c in rows.columns.items() if n not in ("item_id", "group")}
        return {n: [c[places[i]] if i in places else None for i in ids] for n, c in kept.items()}
    if len(scored) > _MOST_MEASURED:
        return {}
    figures = _figures_by_item(rows, reduce)
    names = dict.fromkeys(name for found in figures.values() for name in found)
    return {n: [figures.get(i, {}).get(n) for i in ids] for n in names}


def _figures_by_item(rows: ItemStatistics, reduce: Reduce) -> dict[str, Mapping[str, float]]:
    names, numbers = np.unique(rows.columns["item_id"], return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(numbers))[:-1])
    return {
        str(name): {n: float(v) for n, v in reduce(rows.take(part)).items()}
        for name, part in zip(names, parts, strict=True)
    }
