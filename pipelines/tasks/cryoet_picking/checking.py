"""Check a submission of anybody against the tomograms at hand, and score it where truth is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.commands import JSON, Argument, Command, Terminal, Values
from pipelines.contract import Problem, Sample
from pipelines.core.files import existing_path
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.data import open_source
from pipelines.tasks.cryoet_picking.metrics import f4_score
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, Particle
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.submission import check_submission, read_submission
from pipelines.text import Text
from pipelines.views import TextView, Tone, View

_MAX_BYTES = 500_000_000  # ten million rows
_SURE_GAIN = 0.2  # in F4: axes in another order do not fit that much better by chance


@dataclass(frozen=True)
class Checked:
    """Hold what a submission is worth.

    Attributes:
        problems: What is wrong with it; empty if all is well.
        num_picks: Its rows.
        num_scored: Tomograms with true picks.
        f4: The challenge's score over them, or None where nothing can be scored.
    """

    problems: tuple[Problem, ...]
    num_picks: int = 0
    num_scored: int = 0
    f4: float | None = None

    @property
    def has_errors(self) -> bool:
        """Whether it is invalid or surely mistaken."""
        return any(p.severity == "error" for p in self.problems)


def check_file(content: bytes, samples: Sequence[Sample], *, file: str) -> Checked:
    """Read, check and score a submission.

    Args:
        content: The file.
        samples: The tomograms that it is about; those without a row count as missed.
        file: Its name.
    """
    particles: tuple[Particle, ...] = samples[0].meta["particles"] if len(samples) else CHALLENGE
    geometries = {s.item_id: s.meta["geometry"] for s in samples}
    problems = check_submission(content, particles, geometries, file=file)
    try:
        picks = read_submission(content, particles, file=file)
    except DataFormatError:
        return Checked(tuple(problems))
    truths = [s.truth.picks for s in samples if s.truth is not None]
    if not truths:
        return Checked(tuple(problems), len(picks))
    truth = Picks.concatenate(truths)
    f4 = f4_score(picks, truth, particles)
    if not any(p.severity == "error" for p in problems):
        problems += _axes_problems(picks, truth, particles, f4, file)
    return Checked(tuple(problems), len(picks), len(truths), f4)


def _axes_problems(
    picks: Picks, truth: Picks, particles: Sequence[Particle], f4: float, file: str
) -> list[Problem]:
    """Find axes in another order that bounds cannot tell: x and y of a square tomogram, say."""
    scores = {
        order: f4_score(replace(picks, positions=picks.positions[:, order]), truth, particles)
        for order in itertools.permutations(range(3))
    }
    best = max(scores, key=lambda order: scores[order])
    if scores[best] < f4 + _SURE_GAIN:
        return []
    columns = ", ".join("zyx"[axis] for axis in reversed(best))
    text = Text("cryoet.csv_order", file=file, f4=f4, other=scores[best], columns=columns)
    return [Problem("error", text, file)]


def problems_view(problems: Sequence[Problem]) -> TextView:
    """Say what is wrong with a submission, or that nothing is."""
    if not problems:
        return TextView(Text("cryoet.submission_clean"), tone="success")
    tone: Tone = "error" if any(p.severity == "error" for p in problems) else "warning"
    return TextView(
        Text("cryoet.submission_checked", n=len(problems)),
        tone=tone,
        details=tuple(p.text for p in problems),
    )


def check_views(checked: Checked) -> list[View]:
    """Show what a submission is worth."""
    words = problems_view(checked.problems)
    return [words] if checked.f4 is None else [words, TextView(_score_text(checked), tone="info")]


def _score_text(checked: Checked) -> Text:
    return Text("cryoet.submission_rescored", f4=checked.f4, n=checked.num_scored)


# --- command line ---------------------------------------------------------------------------


def check_command() -> Command:
    """Describe the command that checks a submission before it is handed in."""
    return Command(
        "check",
        Text("cryoet.check"),
        (
            Argument("--submission", Text("cryoet.check_submission"), "CSV", is_required=True),
            Argument("--data", Text("cryoet.check_data"), "PATH", is_required=True),
            JSON,
        ),
        _check,
    )


def _check(values: Values, terminal: Terminal) -> int:
    """Print every remark; an error among them is the exit status."""
    path, source = existing_path(values["submission"]), existing_path(values["data"])
    checked = check_file(read_table(path), open_source(source), file=path.name)
    for problem in checked.problems:
        terminal.say(problem.text)
    if not checked.problems:
        terminal.say(Text("cryoet.submission_clean"))
    if checked.f4 is not None:
        terminal.say(_score_text(checked))
    said = [{"severity": p.severity, "id": p.text.id} for p in checked.problems]
    terminal.result({"picks": checked.num_picks, "f4": checked.f4, "problems": said})
    return 1 if checked.has_errors else 0


def read_table(path: Path) -> bytes:
    """Read a table.

    Raises:
        DataFormatError: A folder, or far larger than a submission.
    """
    if not path.is_file():
        raise DataFormatError(Text("cryoet.not_csv", file=path.name))
    if path.stat().st_size > _MAX_BYTES:
        raise DataFormatError(Text("cryoet.file_too_large", file=path.name))
    return path.read_bytes()
