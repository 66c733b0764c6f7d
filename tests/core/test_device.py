"""Devices: what there is, what it means, and what happens without."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pipelines.core import device
from pipelines.core.device import DeviceInfo, autocast, autocast_dtype, choose_device
from pipelines.errors import NoDeviceError
from pipelines.text import LANGUAGES, render


def test_the_processor_is_always_there_and_last() -> None:
    devices = device.list_devices()
    assert devices[-1].kind == "cpu"
    assert devices[-1].num_cores >= 1


def test_listing_devices_does_not_import_torch() -> None:
    code = (
        "import sys; from pipelines.core.device import describe_wish; describe_wish('auto');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wish_that_cannot_be_met_names_what_can(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(NoDeviceError, match=r"“cuda” is not available.* auto, cpu"):
        choose_device("cuda")


def test_auto_prefers_a_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("wish", device.DEVICE_WISHES)
def test_every_choice_says_what_it_means(monkeypatch, wish, language) -> None:
    gpu = DeviceInfo("cuda", "NVIDIA T4", 16 * 10**9, 4)
    for found in ((device.list_devices()[-1],), (gpu, device.list_devices()[-1])):
        monkeypatch.setattr(device, "list_devices", lambda found=found: found)
        words = render(device.describe_wish(wish), language)
        assert not words.startswith("compute.")
        assert "{" not in words


def test_full_precision_is_never_reduced() -> None:
    assert autocast_dtype(torch.device("cpu"), "full") is None
    with autocast(torch.device("cpu"), "full"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.float32


def test_a_cpu_without_matrix_units_stays_at_float32(monkeypatch) -> None:
    """Emulated bfloat16 is slower than float32."""
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: False)
    assert autocast_dtype(torch.device("cpu")) is None
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: True)
    assert autocast_dtype(torch.device("cpu")) is torch.bfloat16


def test_an_old_gpu_takes_float16(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert autocast_dtype(torch.device("cuda")) is torch.float16


def test_free_memory_respects_a_container_limit(monkeypatch) -> None:
    words = {"memory.max": ["3000"], "memory.current": ["1000"]}
    monkeypatch.setattr(device, "_read_words", lambda path: words.get(path.name, []))
    assert device.free_memory_bytes() == 2000


def test_cores_respect_a_container_quota(monkeypatch) -> None:
    monkeypatch.setattr(device, "_read_words", lambda _: ["100000", "100000"])
    assert device.num_usable_cores() == 1
    monkeypatch.setattr(device, "_read_words", lambda _: ["max", "100000"])
    assert device.num_usable_cores() >= 1


@pytest.mark.parametrize(("line", "expected"), [("NVIDIA T4, 15360", ("NVIDIA T4", 15360 * 2**20)),
                         ("No devices were found", None), ("NVIDIA X, [N/A]", None)])  # fmt: skip
def test_what_the_driver_answers_is_read_with_care(line, expected) -> None:
    assert device._parse_gpu(line) == expected
