"""Score a network on labelled sections, as tests and benchmarks do without a run."""

from collections.abc import Sequence

import torch
from torch import nn

from pipelines.contract import ItemStatistics
from pipelines.tasks.em_membrane import metrics
from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.infer import predict_sections
from pipelines.tasks.em_membrane.train import LabelledSection


def measure_sections(
    model: nn.Module, sections: Sequence[LabelledSection], config: Config, device: torch.device
) -> ItemStatistics:
    """Predict labelled sections and keep the rows that scores and threshold come from."""
    found = predict_sections(model, [s.image for s in sections], config, device)
    rows = [
        metrics.measure(p[None], s.inside[None], item_ids=[s.item_id])
        for p, s in zip(found, sections, strict=True)
    ]
    return ItemStatistics.concatenate(rows)
