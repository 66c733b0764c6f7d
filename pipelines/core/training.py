"""The training loop's task-free parts: schedule, moving average, state on disk, and the loop.

The loop knows neither data nor loss: a task hands it a model, a function that makes batch `step`,
and a function that computes a batch's loss. Everything random is a function of (seed, step) or kept
in the state, so a run that was paused continues as if it had not been.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from pipelines.core.device import Precision, autocast, autocast_dtype
from pipelines.core.files import write_bytes
from pipelines.core.inference import is_out_of_memory
from pipelines.errors import (
    CheckpointError,
    CheckpointMismatchError,
    DeviceMemoryError,
    NonFiniteLossError,
)
from pipelines.text import Text

Batch = Mapping[str, Tensor]
StopWish = Literal["pause", "stop"]
Ending = Literal["finished", "pause", "stop"]
OptimizerName = Literal["adamw", "adam", "sgd"]

_STEPS_MEASURED: Final = 3  # before the time left is told: the first one waits for data and caches
_STEPS_BETWEEN_CHECKS: Final = 10  # a loss is read back this often: each reading waits for a GPU


class Reporter(Protocol):
    """The part of `contract.RunReporter` that the loop needs."""

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Report how far the work is."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Append one point of the live curves."""

    def stop_wish(self) -> StopWish | None:
        """Tell whether somebody asked to pause or stop."""


WARMUP_SHARE: Final = 0.2
"""Of a training, in time or steps, that its warm-up may take at most."""


@dataclass(frozen=True)
class Plan:
    """Say how long and how fast to train.

    Attributes:
        time_limit_s: Longest duration, validation and saving included; `inf` for none.
        max_steps: Largest number of steps; 0 for none. One of the two must be set.
        learning_rate: Highest learning rate.
        warmup_steps: Steps over which the rate rises from 0; fewer where they would be more than
            `WARMUP_SHARE` of the training.
        weight_decay: Decay of AdamW.
        ema_decay: Decay of the moving average of the weights; 0 keeps the newest weights.
        clip_norm: Largest norm of the gradient.
        precision: "auto" takes the device's fast precision, "full" float32.
        optimizer: What moves the weights.
        validate_every_s: Time between two validations.
        save_every_s: Time between two saved states.
        report_every_s: Time between two points of the loss curve.
        reserve_s: Time kept free at the end for what follows the loop.
    """

    time_limit_s: float = math.inf
    max_steps: int = 0
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    weight_decay: float = 1e-2
    ema_decay: float = 0.99
    clip_norm: float = 5.0
    precision: Precision = "auto"
    validate_every_s: float = 20.0
    save_every_s: float = 60.0
    report_every_s: float = 1.0
    reserve_s: float = 0.0
    optimizer: OptimizerName = "adamw"

    def done_fraction(self, step: int, elapsed_s: float) -> float:
        """Return how much is over, in [0, 1], by steps or by time, whichever is more."""
        by_time = elapsed_s / max(self.time_limit_s - self.reserve_s, 1e-9)
        by_steps = step / self.max_steps if self.max_steps else 0.0
        return min(max(by_time, by_steps), 1.0)

    def rate(self, step: int, elapsed_s: float) -> float:
        """Return the learning rate: a linear rise, then half a cosine that reaches 0 at the end.

        By the clock and not by a number of steps known in advance: the machine's speed, and who
        else uses it, may change, and the rate must have come down when the time is over. The rise
        is over by then as well: of the 40 steps that a slow machine takes in a short training, a
        warm-up of 50 would be all.
        """
        done = self.done_fraction(step, elapsed_s)
        rise = (step + 1) / self.warmup_steps if self.warmup_steps else 1.0
        rise = min(1.0, max(rise, done / WARMUP_SHARE))
        fall = 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * rise * fall


@dataclass(frozen=True)
class Work:
    """Hold what a task gives to the loop.

    Attributes:
        model: Network to be trained, as initialised.
        make_batch: Step number to batch, on the CPU; called in other threads, ahead of time.
        loss_of: Model and batch to the scalar loss; called under autocast.
        validate: Averaged model (in evaluation mode) and step to figures for the live curves.
        num_threads: Threads that make batches.
    """

    model: nn.Module
    make_batch: Callable[[int], Batch]
    loss_of: Callable[[nn.Module, Batch], Tensor]
    validate: Callable[[nn.Module, int], Mapping[str, float]] | None = None
    num_threads: int = 2


@dataclass(frozen=True)
class Outcome:
    """Say how a training ended.

    Attributes:
        ending: "finished" at its limit, or the wish that ended it before.
        model: The averaged model, in evaluation mode, on the device.
        steps: Steps done, earlier sittings included.
        elapsed_s: Time taken, earlier sittings included.
    """

    ending: Ending
    model: nn.Module
    steps: int
    elapsed_s: float


def fit(
    work: Work, plan: Plan, *, device: torch.device, run: Reporter, state_file: Path | None = None
) -> Outcome:
    """Train until a limit is reached or somebody wishes to stop.

    Args:
        work: Model, batches, loss, validation.
        plan: Limits and rates.
        device: Where to compute.
        run: Takes what is reported, tells when to stop.
        state_file: Where the state is kept; an existing one is continued. None keeps nothing.

    Raises:
        NonFiniteLossError: The loss became infinite or NaN; the saved state is from before.
        DeviceMemoryError: The batch does not fit.
        DiskFullError: The state could not be saved; the former one is intact.
        CheckpointMismatchError: The state belongs to another network.
    """
    state = State.begin(work.model, plan, device, state_file)
    clock = _Clock(plan, state.elapsed_s)
    log = _Log(run, plan, clock)
    wish: StopWish | None = None
    with memory_errors(), Prefetcher(work.make_batch, state.step, work.num_threads) as batches:
        while not clock.is_over(state.step) and (wish := run.stop_wish()) is None:
            with clock.waiting():
                batch = next(batches)
            loss = train_step(state, work.loss_of, batch, rate=clock.rate(state.step))
            log.add(state.step, loss)
            if clock.is_due("validate", plan.validate_every_s):
                with clock.aside() as took:
                    figures = _validate(work, state)
                if figures:  # one that was left out says nothing of how long the last one takes
                    clock.reserve(took())
                log.validation(state.step, figures)
            if state_file is not None and clock.is_due("save", plan.save_every_s):
                log.flush(state.step)
                state.save(state_file, clock.elapsed_s)
        log.flush(state.step)
        log.validation(state.step, _validate(work, state))
    if state_file is not None:
        state.save(state_file, clock.elapsed_s)
    return Outcome(wish or "finished", state.averaged, state.step, clock.elapsed_s)


def train_step(
    state: State, loss_of: Callable[[nn.Module, Batch], Tensor], batch: Batch, *, rate: float
) -> Tensor:
    """Do one optimiser step.

    Args:
        state: Model, optimiser and average; changed in place.
        loss_of: Model and batch to the scalar loss.
        batch: On the CPU.
        rate: Learning rate of this step.

    Returns:
        The loss, detached, on the device.
    """
    on_device = {n: t.to(state.device, non_blocking=True) for n, t in batch.items()}
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    with autocast(state.device, state.plan.precision):
        loss = loss_of(state.model, on_device)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    nn.utils.clip_grad_norm_(state.model.parameters(), state.plan.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.step += 1
    average_weights(state.averaged, state.model, decay=ema_decay(state.step, state.plan.ema_decay))
    return loss.detach()


def make_optimizer(model: nn.Module, plan: Plan, device: torch.device) -> torch.optim.Optimizer:
    """Return the optimiser that a plan names, over the weights that may be trained."""
    weights = [p for p in model.parameters() if p.requires_grad]
    is_fused = device.type in ("cpu", "cuda")
    rate, decay = plan.learning_rate, plan.weight_decay
    if plan.optimizer == "sgd":
        return torch.optim.SGD(
            weights, lr=rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=is_fused
        )
    kind = torch.optim.AdamW if plan.optimizer == "adamw" else torch.optim.Adam
    return kind(weights, lr=rate, weight_decay=decay, betas=(0.9, 0.99), fused=is_fused)


def fastest_layout(model: nn.Module) -> torch.memory_format:
    """Return the memory format in which a network's convolutions, 2D or 3D, run fastest."""
    is_3d = any(p.dim() == 5 for p in model.parameters())
    return torch.channels_last_3d if is_3d else torch.channels_last


def ema_decay(step: int, highest: float) -> float:
    """Return the decay of the moving average at a step, counted from 1.

    It rises with the steps, so that the average forgets the random start and not only after
    `1 / (1 - highest)` steps.
    """
    return min(highest, step / (step + 9.0)) if highest else 0.0


@torch.no_grad()
def average_weights(averaged: nn.Module, model: nn.Module, *, decay: float) -> None:
    """Move the averaged weights and statistics towards the model's: `a <- decay a + (1 - decay) m`.

    Counters (integer buffers) are copied.
    """
    pairs = zip(
        (*averaged.parameters(), *averaged.buffers()),
        (*model.parameters(), *model.buffers()),
        strict=True,
    )
    for mean, new in pairs:
        if mean.is_floating_point():
            mean.lerp_(new.to(mean.dtype), 1 - decay)
        else:
            mean.copy_(new)


@dataclass
class State:
    """Hold everything that a step changes.

    Attributes:
        model: Network in training.
        averaged: Moving average of its weights, in evaluation mode.
        optimizer: AdamW over the model's weights.
        scaler: Loss scaling; does nothing unless the precision is float16.
        plan: What the training follows.
        device: Where it computes.
        step: Steps done.
        elapsed_s: Time of the former sittings.
    """

    model: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    plan: Plan
    device: torch.device
    step: int = 0
    elapsed_s: float = 0.0

    @classmethod
    def begin(
        cls, model: nn.Module, plan: Plan, device: torch.device, state_file: Path | None = None
    ) -> State:
        """Make the state of a new training, or read that of a former sitting."""
        model = model.to(device).to(memory_format=fastest_layout(model)).train()
        averaged = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        is_half = autocast_dtype(device, plan.precision) is torch.float16
        state = cls(
            model=model,
            averaged=averaged,
            optimizer=make_optimizer(model, plan, device),
            scaler=torch.amp.GradScaler(device.type, enabled=is_half),
            plan=plan,
            device=device,
        )
        if state_file is not None and state_file.is_file():
            state.load(state_file)
        return state

    def save(self, path: Path, elapsed_s: float) -> None:
        """Write tensors and, in the same file's header, numbers as JSON; nothing is pickled.

        Raises:
            DiskFullError: No space; the former file is untouched.
        """
        numbers = {
            "step": self.step,
            "elapsed_s": elapsed_s,
            "scaler": self.scaler.state_dict(),
        }
        tensors = {n: t.detach().cpu().contiguous() for n, t in self._tensors().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, to_bytes(tensors, metadata={"state": json.dumps(numbers)}))

    def load(self, path: Path) -> None:
        """Take over a saved state.

        Raises:
            CheckpointError: The file cannot be read.
            CheckpointMismatchError: It is of another network.
        """
        tensors, numbers = _read_state(path)
        self._check(path, tensors)
        self.model.load_state_dict(_below("model.", tensors))
        self.averaged.load_state_dict(_below("averaged.", tensors))
        self.optimizer.load_state_dict(
            {
                "state": _nested(_below("optimizer.", tensors)),
                "param_groups": self.optimizer.state_dict()["param_groups"],
            }
        )
        self._lay_out_moments()
        self.scaler.load_state_dict(numbers["scaler"])
        self.step, self.elapsed_s = int(numbers["step"]), float(numbers["elapsed_s"])
        torch.set_rng_state(tensors["rng.cpu"])
        if "rng.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)

    def _lay_out_moments(self) -> None:
        """Give each moment the memory order of its weight, which the file does not keep.

        The fused optimiser walks both in memory order: a channels-last weight with a contiguous
        moment would be updated by its neighbours' moments.
        """
        for weight, moments in self.optimizer.state.items():
            for name, value in moments.items():
                if value.shape == weight.shape:
                    moments[name] = torch.empty_like(weight).copy_(value)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        tensors |= {f"averaged.{n}": t for n, t in self.averaged.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": t for n, t in moments.items()}
        tensors["rng.cpu"] = torch.get_rng_state()  # dropout draws from it
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def _check(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        wanted = {n: t.shape for n, t in self.model.state_dict().items()}
        found = {n: t.shape for n, t in _below("model.", tensors).items()}
        if wanted != found:
            different = sorted(n for n in wanted | found if wanted.get(n) != found.get(n))
            raise CheckpointMismatchError(
                Text("training.other_network", file=path.name, example=different[0])
            )


class Prefetcher:
    """Make batches ahead of time in threads, and hand them out in order.

    Threads, not processes: the work is in numpy and OpenCV, which let go of Python's lock, and
    nothing has to be copied, forked or cleaned up.
    """

    def __init__(self, make_batch: Callable[[int], Batch], start: int, num_threads: int) -> None:
        self._make_batch = make_batch
        self._next_step = start
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="batches")
        self._waiting: deque[Future[Batch]] = deque()
        self._depth = 2 * num_threads + 1

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while len(self._waiting) < self._depth:
            self._waiting.append(self._pool.submit(self._make_batch, self._next_step))
            self._next_step += 1
        return self._waiting.popleft().result()


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn every way to run out of memory into a `DeviceMemoryError` that says what to do.

    Raises:
        DeviceMemoryError: Memory ran out inside the block.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, DeviceMemoryError) or not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(Text("training.out_of_memory")) from error


class _Clock:
    """Measure the time of a training, and what part of it is over."""

    def __init__(self, plan: Plan, already_s: float) -> None:
        self._plan = plan
        self._start = time.monotonic() - already_s
        self._last: dict[str, float] = {}
        self._reserve_s = 0.0
        self._aside_s = 0.0
        self.waited_s = 0.0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def _spent_s(self) -> float:
        """Elapsed time with that of the last validation, which is still to come."""
        return self.elapsed_s + self._reserve_s

    def fraction(self, step: int) -> float:
        return self._plan.done_fraction(step, self._spent_s)

    def rate(self, step: int) -> float:
        return self._plan.rate(step, self._spent_s)

    def is_over(self, step: int) -> bool:
        return self.fraction(step) >= 1.0

    def is_due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._last.setdefault(name, self._start_of(name, now)) < every_s:
            return False
        self._last[name] = now
        return True

    def _start_of(self, name: str, now: float) -> float:
        # the first validation comes at once, so that the first picture is there early
        return -math.inf if name == "validate" else now

    @contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.waited_s += time.monotonic() - start

    @contextmanager
    def aside(self) -> Iterator[Callable[[], float]]:
        """Measure what is no step, and yield how long it took."""
        start = time.monotonic()
        yield lambda: time.monotonic() - start
        self._aside_s += time.monotonic() - start

    @property
    def stepping_s(self) -> float:
        """Elapsed time without what is no step."""
        return self.elapsed_s - self._aside_s

    def reserve(self, seconds: float) -> None:
        """Keep as much time for the last validation as one took."""
        self._reserve_s = seconds

    def left_s(self, num_steps: int, step_s: float | None) -> float | None:
        """Estimate the time left: that of the limit, or of the steps with their validations.

        Args:
            num_steps: Steps still to come; 0 where only the time is limited.
            step_s: Duration of one, or None while too few are measured.
        """
        by_time = max(self._plan.time_limit_s - self._plan.reserve_s - self.elapsed_s, 0.0)
        if not self._plan.max_steps or step_s is None:
            return by_time if math.isfinite(by_time) else None
        stepping_s = num_steps * step_s
        num_validations = 1 + stepping_s / max(self._plan.validate_every_s, 1e-9)
        return min(by_time, stepping_s + num_validations * self._reserve_s)


@dataclass
class _Log:
    """Gather losses and report them a few times a second at most."""

    run: Reporter
    plan: Plan
    clock: _Clock
    losses: list[Tensor] = field(default_factory=list)
    _mean: float = math.nan
    _first: tuple[int, float, float] | None = None  # step, elapsed time, time of steps alone

    def add(self, step: int, loss: Tensor) -> None:
        self.losses.append(loss)
        if self._first is None:
            self._first = (step, self.clock.elapsed_s, self.clock.stepping_s)
        if len(self.losses) >= _STEPS_BETWEEN_CHECKS:
            self._check(step)
        if self.clock.is_due("report", self.plan.report_every_s):
            self.flush(step)

    def flush(self, step: int) -> None:
        """Read the losses back and report them."""
        self._check(step)
        if math.isnan(self._mean):
            return
        elapsed = self.clock.elapsed_s
        first_step, first_s, _ = self._first or (step, elapsed, 0.0)
        self.run.metrics(
            {
                "step": step,
                "elapsed_s": elapsed,
                "loss": self._mean,
                "learning_rate": self.clock.rate(step),
                "steps_per_s": (step - first_step) / max(elapsed - first_s, 1e-9),
                "waiting_share": self.clock.waited_s / max(elapsed, 1e-9),
            }
        )
        self._report_progress(step)

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        if values:
            self.run.metrics({"step": step, "elapsed_s": self.clock.elapsed_s, **values})

    def _step_s(self, step: int) -> float | None:
        """Return how long a step takes, the first one aside; None while too few are measured."""
        if self._first is None or step - self._first[0] < _STEPS_MEASURED:
            return None
        return (self.clock.stepping_s - self._first[2]) / (step - self._first[0])

    def _report_progress(self, step: int) -> None:
        fraction = max(self.clock.fraction(step), 1e-9)
        left = self.clock.left_s(max(self.plan.max_steps - step, 0), self._step_s(step))
        text = Text("training.stage", step=step, loss=self._mean)
        self.run.progress(step, step / fraction, text, left)

    def _check(self, step: int) -> None:
        if not self.losses:
            return
        self._mean = float(torch.stack(self.losses).float().mean())
        self.losses.clear()
        if not math.isfinite(self._mean):
            raise NonFiniteLossError(
                Text("training.diverged", step=step, rate=self.plan.learning_rate)
            )


def _validate(work: Work, state: State) -> Mapping[str, float]:
    return {} if work.validate is None else work.validate(state.averaged, state.step)


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:  # numbers by name
    try:
        with safe_open(path, framework="pt") as file:
            numbers = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, numbers  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(Text("training.damaged_state", file=str(path))) from error


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _nested(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Group "3.exp_avg" to `{3: {"exp_avg": ...}}`."""
    nested: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, moment = name.partition(".")
        nested.setdefault(int(index), {})[moment] = tensor
    return nested
