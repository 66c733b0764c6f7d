"""`python -m pipelines simulate cryoet_picking --out ROOT --tomograms N --seed S`."""

from __future__ import annotations

from pathlib import Path

from pipelines.commands import JSON, Argument, Command, Terminal, UsageError, Values
from pipelines.config import parse
from pipelines.text import Text


def simulate_command() -> Command:
    """Describe the command that writes simulated tomograms in the challenge's layout."""
    return Command(
        "simulate",
        Text("cryoet.simulate"),
        (
            Argument("--out", Text("cryoet.simulate_out"), "DIR", is_required=True),
            Argument("--tomograms", Text("cryoet.simulate_tomograms"), "N"),
            Argument("--seed", Text("cryoet.simulate_seed"), "N"),
            Argument("--maps", Text("cryoet.simulate_maps"), "DIR"),
            Argument("--set", Text("cryoet.simulate_set"), "NAME=VALUE", is_repeated=True),
            JSON,
        ),
        _simulate,
    )


def _simulate(values: Values, terminal: Terminal) -> int:
    from pipelines.tasks.cryoet_picking.simulate import (
        SimulationConfig,
        refuse_too_many,
        write_tree,
    )

    root = Path(values["out"])
    count, seed = _whole(values, "tomograms", 1), _whole(values, "seed", 0)
    if count < 1:
        raise UsageError(Text("cryoet.simulate_count", got=count))
    if _holds_files(root / "static") or _holds_files(root / "overlay"):
        raise UsageError(Text("cryoet.simulate_exists", path=str(root)))
    changes = dict(str(pair).partition("=")[::2] for pair in values.get("set", ()))
    config = parse(SimulationConfig, changes)
    refuse_too_many(root, count, config)
    stage = Text("cryoet.simulate_stage")
    terminal.progress(0, count, stage, None)
    write_tree(
        root,
        num_tomograms=count,
        seed=seed,
        config=config,
        maps=Path(values["maps"]) if "maps" in values else None,
        on_done=lambda done: terminal.progress(done, count, stage, None),
    )
    terminal.say(Text("cryoet.simulated", n=count, path=str(root)))
    terminal.result({"root": str(root), "tomograms": count, "seed": seed, "simulated": True})
    return 0


def _holds_files(folder: Path) -> bool:
    """Tell whether anything stands there; one that was broken off leaves empty folders."""
    return folder.is_file() or any(path.is_file() for path in folder.rglob("*"))


def _whole(values: Values, name: str, default: int) -> int:
    try:
        return int(values.get(name, default))
    except ValueError:
        text = Text("cryoet.simulate_number", name=f"--{name}", got=str(values[name]))
        raise UsageError(text) from None
