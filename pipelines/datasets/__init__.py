"""Data sets as records: where the files lie, what is in them, how they are divided.

Nothing is copied but uploads. A record is one folder below `data/datasets` with `record.json` and
its split manifests; a run refers to both by their ids.
"""

from pipelines.datasets.records import (
    delete_dataset,
    discard_old_uploads,
    discard_upload,
    list_datasets,
    load_dataset,
    record_from_json,
    record_to_json,
    register,
    rename_dataset,
    restore_dataset,
    verify_files,
)
from pipelines.datasets.reports import DatasetReport, load_report
from pipelines.datasets.samples import builtin_sample, dataset_title
from pipelines.datasets.sources import (
    new_upload_folder,
    proposed_title,
    resolve_source,
    save_upload,
    save_uploads,
)
from pipelines.datasets.splits import (
    block_split,
    fold_splits,
    given_split,
    group_split,
    list_splits,
    load_split,
    random_fold_splits,
    save_split,
    split_from_json,
    split_to_json,
)

__all__ = [
    "DatasetReport",
    "block_split",
    "builtin_sample",
    "dataset_title",
    "delete_dataset",
    "discard_old_uploads",
    "discard_upload",
    "fold_splits",
    "given_split",
    "group_split",
    "list_datasets",
    "list_splits",
    "load_dataset",
    "load_report",
    "load_split",
    "new_upload_folder",
    "proposed_title",
    "random_fold_splits",
    "record_from_json",
    "record_to_json",
    "register",
    "rename_dataset",
    "resolve_source",
    "restore_dataset",
    "save_split",
    "save_upload",
    "save_uploads",
    "split_from_json",
    "split_to_json",
    "verify_files",
]
