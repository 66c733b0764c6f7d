"""Write a network as ONNX, and prove on real inputs that onnxruntime answers as PyTorch does."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.contract import ExportableNetwork
from pipelines.errors import PipelineError
from pipelines.text import Text, verbatim

if TYPE_CHECKING:
    import torch

TOLERANCE: Final = 1e-4
"""Largest difference allowed, as a share of the largest answer: float32 sums in another order
differ by about 1e-6 of it, a wrong operator by far more."""
_OPSET: Final = 18
_INPUT, _OUTPUT = "input", "output"


@dataclass(frozen=True)
class OnnxCheck:
    """Hold how an exported network was checked.

    Attributes:
        input_shape: Shape of the real inputs, batch first.
        output_shape: Shape of the answers.
        axes: Name of each axis of the input.
        free: Axes whose length may differ.
        largest_answer: Largest absolute answer of PyTorch.
        largest_difference: Largest absolute difference of onnxruntime's answers from it.
        tolerance: Largest difference allowed.
        opset: Version of the operators.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    axes: tuple[str, ...]
    free: tuple[str, ...]
    largest_answer: float
    largest_difference: float
    tolerance: float
    opset: int = _OPSET

    @property
    def is_passed(self) -> bool:
        """Whether the two answer alike."""
        return self.largest_difference <= self.tolerance

    @property
    def text(self) -> Text:
        """The outcome in one sentence."""
        return Text(
            "evidence.onnx.checked" if self.is_passed else "evidence.onnx.differs",
            n=self.input_shape[0],
            gap=self.largest_difference,
            tolerance=self.tolerance,
            largest=self.largest_answer,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "is_passed": self.is_passed}


@dataclass(frozen=True)
class OnnxOutcome:
    """Hold what came of an export.

    Attributes:
        check: How it was checked, or None where there is no file.
        text: What came of it, in one sentence.
        note: What is done before and after the network, or None.
    """

    check: OnnxCheck | None
    text: Text
    note: Text | None = None


def export_network(open_network: Callable[[], ExportableNetwork | None], path: Path) -> OnnxOutcome:
    """Write a network and check it; a file that answers otherwise is not left behind.

    Args:
        open_network: Returns the network with real inputs, or None for a model that is no network.
        path: `.onnx` file.
    """
    try:
        network = open_network()
        if network is None:
            return OnnxOutcome(None, Text("evidence.onnx.none"))
        _write(network, path)
        check = _check(network, path)
    except Exception as error:  # noqa: BLE001 - exporters fail in as many ways as there are layers
        logging.getLogger(__name__).warning("no ONNX file: %s", error)
        path.unlink(missing_ok=True)
        return OnnxOutcome(None, Text("evidence.onnx.failed", reason=_reason(error)))
    if not check.is_passed:
        path.unlink(missing_ok=True)
    return OnnxOutcome(check, check.text, network.note)


def _reason(error: Exception) -> Text:
    if isinstance(error, PipelineError):
        return error.text
    return verbatim((str(error).strip().splitlines() or [type(error).__name__])[0][:160])


def _write(network: ExportableNetwork, path: Path) -> None:
    import torch

    first = torch.from_numpy(np.ascontiguousarray(network.inputs[:1]))
    # two items: a length of one is taken for a constant
    inputs = torch.cat([first, first]) if "batch" in network.free else first
    free = {
        axis: torch.export.Dim.DYNAMIC
        for axis, name in enumerate(network.axes)
        if name in network.free
    }
    with _silence():
        program = torch.onnx.export(
            network.module, (inputs,), dynamo=True, dynamic_shapes=(free,), opset_version=_OPSET,
            input_names=[_INPUT], output_names=[_OUTPUT], verbose=False,
        )  # fmt: skip
        assert program is not None, "without a file name the exporter returns the program"
        program.save(str(path), external_data=False)


def _check(network: ExportableNetwork, path: Path) -> OnnxCheck:
    """Compare answers for the real inputs, one item at a time and all at once where that can be."""
    wanted = _torch_answers(network.module, network.inputs)
    found = [_onnx_answers(path, network.inputs[i : i + 1]) for i in range(len(network.inputs))]
    gap = float(np.abs(np.concatenate(found) - wanted).max())
    if "batch" in network.free and len(network.inputs) > 1:
        gap = max(gap, float(np.abs(_onnx_answers(path, network.inputs) - wanted).max()))
    largest = float(np.abs(wanted).max())
    return OnnxCheck(
        tuple(network.inputs.shape),
        tuple(wanted.shape),
        network.axes,
        network.free,
        largest,
        gap,
        TOLERANCE * max(largest, 1.0),
    )


def _torch_answers(module: torch.nn.Module, inputs: Any) -> Any:  # arrays, items first
    import torch

    with torch.inference_mode():
        answers = [module(torch.from_numpy(np.ascontiguousarray(one))[None]) for one in inputs]
    return torch.cat(answers).float().numpy()


def _onnx_answers(path: Path, inputs: Any) -> Any:  # arrays, items first
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run([_OUTPUT], {_INPUT: np.ascontiguousarray(inputs)})[0]


@contextlib.contextmanager
def _silence() -> Any:  # generator of a context
    """Keep the exporter's chatter off the terminal, where only our own lines belong."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
