"""Settings come from defaults, then the file, then the command line; what is not known is refused."""

import dataclasses
import json
import math
import typing

import pytest

from gen5astro.config import AuditConfig, Config, MeasureConfig, NormalizerSpec, as_dict, describe
from gen5astro.errors import ConfigError, MissingFileError
from gen5astro.settings import from_dict, load_config

SECTIONS = typing.get_type_hints(Config)


def test_without_a_file_all_is_default():
    assert load_config() == Config()


def test_plain_types_make_the_same_config_again():
    config = load_config(settings=["train.epochs=3", "normalize.clip=5", "measure.apertures_arcsec=[0.7]"])
    assert from_dict(json.loads(json.dumps(as_dict(config)))) == config


def test_settings_win_over_the_file_and_the_file_over_defaults(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text("epochs = 3\nbatch_size = 64\n[audit]\nfolds = 4\n")
    config = load_config(path, ["epochs=7"], section="train")
    assert (config.train.epochs, config.train.batch_size, config.audit.folds) == (7, 64, 4)
    assert config.train.learning_rate == Config().train.learning_rate


@pytest.mark.parametrize(
    ("setting", "read", "value"),
    [
        ("train.model_name=resnet34", lambda config: config.train.model_name, "resnet34"),
        ("train.pretrained=true", lambda config: config.train.pretrained, True),
        ("train.pretrained=weights.pt", lambda config: config.train.pretrained, "weights.pt"),
        ("train.width=none", lambda config: config.train.width, None),
        ("train.width=16", lambda config: config.train.width, 16),
        ("normalize.softening=2", lambda config: config.normalize.softening, 2.0),
        ("inject.z_lens=[0.1, 1]", lambda config: config.inject.z_lens, (0.1, 1.0)),
        ("audit.theta_e_edges=[]", lambda config: config.audit.theta_e_edges, ()),
        ("train.batch_composition.negatives=3", lambda config: config.train.batch_composition, {"negatives": 3.0}),
        (
            "audit.limits.flux_budget.median_excess=[-inf, 0.1]",
            lambda config: config.audit.limits,
            {"flux_budget": {"median_excess": [-math.inf, 0.1]}},
        ),
    ],
)
def test_a_setting_is_read_as_the_key_wants_it(setting, read, value):
    got = read(load_config(settings=[setting]))
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epoch=3", "did you mean 'epochs'"),
        ("trian.epochs=3", "did you mean 'train'"),
        ("epochs=3", "config key 'epochs'"),
        ("train.epochs", "no '='"),
        ("train.epochs=many", "config key 'train.epochs': got 'many'; expected whole number"),
        ("train.epochs=2.5", "expected whole number"),
        ("train.epochs=true", "expected whole number"),
        ("train.view=triple", "(there are: paired, residual, single)"),
        ("train.loss=bcee", "did you mean 'bce'?"),
        ("train.precision=16", "got 16; there are: 32-true, bf16-mixed"),
        ("train.balance=theta_e", 'expected [text, ...]; write ["theta_e"]'),
        ("train.balance=3", "got 3; expected [text, ...]"),
        ("train.epochs=0", "config key 'train.epochs': got 0; expected 1 or more"),
        ("audit.max_reject_fraction=1.5", "expected from 0 to 1"),
        ("audit.max_reject_fraction=nan", "expected from 0 to 1"),
        ("build.fractions=[0.7, 0.6, -0.3]", "expected from 0 to 1"),
        ("inject.source_offset=0.9", "expected from 0 to 0.8"),
        ("train=3", "expected a section"),
        ("train.epochs.more=3", "config key 'train.epochs'"),
        ("inject.z_lens=[0.1]", "config key 'inject.z_lens': got [0.1]; expected [number, number]"),
        ("audit.theta_e_edges=1", "expected [number, ...]"),
        ("train.batch_composition=3", "expected {name = number, ...}"),
        ("train.width=wide", "expected whole number or none"),
        ("audit.limits=3", "expected {name = {name = [number or none, ...], ...}, ...}"),
        ("audit.limits.flux_budget.median_excess=3", "config key 'audit.limits.flux_budget.median_excess'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(setting, message):
    with pytest.raises(ConfigError) as refused:
        load_config(settings=[setting])
    assert message in str(refused.value)


def test_a_setting_inside_a_key_that_is_no_section_is_refused():
    with pytest.raises(ConfigError, match="'epochs' that is no section"):
        load_config(settings=["train.epochs=3", "train.epochs.more=3"])


def test_an_unknown_section_of_a_file_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text("[audt]\nfolds = 4\n")
    with pytest.raises(ConfigError, match="config key 'audt': got an unknown name; did you mean 'audit'"):
        load_config(path, section="audit")
    path.write_text("[limits.flux_budget]\nmedian_excess = [-inf, 0.1]\n")
    assert list(load_config(path, section="audit").audit.limits) == ["flux_budget"]
    path.write_text("folds = 4\naudit = 3\n")
    with pytest.raises(ConfigError, match="config key 'audit': got 3; expected a section"):
        load_config(path, section="audit")


def test_a_file_that_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = \n")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load_config(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="expected TOML"):
        load_config(broken)


def test_a_default_is_of_the_type_that_it_asks_for():
    for name, kind in SECTIONS.items():
        assert from_dict(dataclasses.asdict(kind()), kind, where=f"{name}.") == kind()


def test_every_key_says_what_it_means():
    for name, kind in SECTIONS.items():
        for key, default, doc in describe(kind):
            assert doc, f"{name}.{key}"
            assert default == getattr(kind(), key)


def test_a_config_cannot_be_changed_nor_its_defaults_shared():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().train.epochs = 3
    first, second = AuditConfig(), AuditConfig()
    first.limits["gate"] = {}
    assert second.limits == {}


def test_measure_and_normalizer_agree_on_what_sky_is():
    assert MeasureConfig().annulus_fraction == NormalizerSpec().annulus_fraction
    assert MeasureConfig().core_radius_arcsec == NormalizerSpec().core_radius_arcsec


def test_a_bare_table_of_the_section_is_found():
    config = load_config(settings=["limits.flux_budget.excess_fraction=[-1, 1]"], section="audit")
    assert config.audit.limits == {"flux_budget": {"excess_fraction": [-1.0, 1.0]}}
    with pytest.raises(ConfigError, match="config key 'limits'"):
        load_config(settings=["limits.flux_budget.excess_fraction=[-1, 1]"], section="train")
