from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.energy import ENERGY, EnergyMeter, energy_of, metered


def package(folder: Path, name: str, used_uj: int, span_uj: int = 1000) -> Path:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "energy_uj").write_text(f"{used_uj}\n")
    (place / "max_energy_range_uj").write_text(f"{span_uj}\n")
    return place


def test_packages_are_added_and_their_parts_are_not_counted_twice(tmp_path) -> None:
    package(tmp_path, "intel-rapl:0", 100)
    package(tmp_path, "intel-rapl:1", 10)
    package(tmp_path, "intel-rapl:0:0", 50)
    with EnergyMeter(tmp_path) as meter:
        package(tmp_path, "intel-rapl:0", 400)
        package(tmp_path, "intel-rapl:1", 30)
        package(tmp_path, "intel-rapl:0:0", 350)
    assert meter.joules == pytest.approx(320e-6)


def test_a_counter_that_starts_again_goes_on(tmp_path) -> None:
    package(tmp_path, "intel-rapl:0", 900)
    with EnergyMeter(tmp_path) as meter:
        package(tmp_path, "intel-rapl:0", 100)
        meter.read()
        package(tmp_path, "intel-rapl:0", 950)
        meter.read()
        package(tmp_path, "intel-rapl:0", 50)
    assert meter.joules == pytest.approx((200 + 850 + 100) * 1e-6)


def test_counters_are_read_by_themselves_meanwhile(tmp_path) -> None:
    package(tmp_path, "intel-rapl:0", 0)
    with EnergyMeter(tmp_path, read_every_s=0.001) as meter:
        package(tmp_path, "intel-rapl:0", 7)
        while meter.joules == 0:
            pass
    assert meter.joules == pytest.approx(7e-6)


def test_what_cannot_be_read_is_not_known_and_leaves_no_file(tmp_path) -> None:
    for counters in (tmp_path / "nowhere", tmp_path):
        with metered(tmp_path, counters), EnergyMeter(counters) as meter:
            pass
        assert meter.joules is None
    (package(tmp_path / "odd", "intel-rapl:0", 1) / "energy_uj").write_text("busy")
    with metered(tmp_path, tmp_path / "odd"):
        pass
    assert not (tmp_path / ENERGY).exists()


def test_sittings_of_a_run_add_up_until_one_is_killed(tmp_path) -> None:
    counters, run = tmp_path / "counters", tmp_path / "run"
    run.mkdir()
    package(counters, "intel-rapl:0", 0)
    for wanted in (300, 500):
        with metered(run, counters):
            assert energy_of(run) is None  # as a reader finds it after a kill
            package(counters, "intel-rapl:0", wanted)
        assert energy_of(run) == pytest.approx(wanted * 1e-6)
    (run / ENERGY).write_text('{"energy_j": null}')
    with metered(run, counters):
        package(counters, "intel-rapl:0", 900)
    assert energy_of(run) is None
