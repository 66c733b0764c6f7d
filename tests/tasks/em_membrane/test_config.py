"""The options: presets that parse, bounds that hold, words for every one in both languages."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.config import describe, parse
from pipelines.errors import ConfigError
from pipelines.tasks.em_membrane.augment import draw
from pipelines.tasks.em_membrane.config import PRESETS, Config, ModelOptions
from pipelines.text import LANGUAGES, Text, render


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_fit_their_promise(name):
    config = parse(Config, PRESETS[name])
    assert config.time_limit_s <= {"quick": 120, "standard": 300, "best": 600}[name]
    assert config.patch_px % config.multiple == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_choice_group_and_preset_has_words(language):
    infos = describe(Config)
    texts = [text for info in infos for text in (info.label, info.help)]
    texts += [info.choice_label(c) for info in infos for c in info.choices]
    texts += [Text(f"em_config.group.{g}") for g in {i.group for i in infos}]
    texts += [Text(f"em_config.preset.{n}{e}") for n in PRESETS for e in ("", ".help")]
    missing = [t.id for t in texts if render(t, language) == t.id]
    assert missing == []


def test_reversed_ranges_are_refused_with_both_bounds():
    with pytest.raises(ConfigError, match=r"elastic_alpha.*400.*300"):
        parse(Config, {"elastic_alpha_low": 400})


def test_the_network_says_what_its_input_must_be_a_multiple_of():
    assert ModelOptions(stem=2, depth=3).multiple == 16
    assert ModelOptions(stem=1, depth=4).multiple == 16
    assert ModelOptions(architecture="smp_fpn", stem=1, depth=1).multiple == 32


def test_a_whole_configuration_serves_as_augmentation_options():
    config = Config(rotation_probability=1.0, rotation_deg=5.0)
    assert abs(draw((300, 300), config, np.random.default_rng(0)).rotation_deg) <= 5.0
