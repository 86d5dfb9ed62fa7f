"""The verb demo: every stage leaves its file, and the audit tells the two injections apart."""

import json

import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.config import Config
from gen5astro.demo import quick
from gen5astro.io.hdf5 import Cube
from gen5astro.settings import load_config


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    settings = ["train.epochs=1", "train.width=8", "audit.bootstraps=100", "audit.permutations=2", "inject.size=64"]
    options = [each for setting in settings for each in ("--set", setting)]
    result = CliRunner().invoke(main, ["demo", "--out", str(out), "--n", "300", "--json", "--force", *options])
    return out, result


def test_the_demo_ends_well_and_its_pages_are_there(demo):
    out, result = demo
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["status"] == "PASS"
    for link in record["links"]:
        page = out / link["href"].removeprefix(f"{out}/")
        assert "</html>" in page.read_text(), page
    index = (out / "index.html").read_text()
    for link in record["links"][1:]:
        assert link["href"].removeprefix(f"{out}/") in index


def test_the_unexplained_auc_tells_apart_what_the_classic_threshold_does_not(demo):
    out, _ = demo
    found = {}
    for name in ("clean", "pedestal"):
        record = json.loads((out / name / "audit.json").read_text())
        found[name] = {
            finding["name"]: finding["value"]
            for finding in record["gates"]["core_leakage"]["findings"]
            if (finding["view"], finding["stratum"]) == ("single", "all")
        }
    assert found["clean"]["measured_auc"] > 0.70
    assert found["pedestal"]["measured_auc"] > 0.70
    assert abs(found["clean"]["unexplained_auc"]) <= 0.03
    assert found["pedestal"]["unexplained_auc"] >= 0.08


def test_the_cube_carries_the_clean_audit_and_the_network_fits_it(demo):
    out, _ = demo
    with Cube(out / "cube.h5") as cube:
        assert cube.audit == json.loads((out / "clean" / "audit.json").read_text())
    assert (out / "run" / "best.ckpt").is_file()
    assert (out / "evaluation" / "scores.parquet").is_file()


def test_what_the_user_set_is_kept():
    chosen = load_config(settings=["train.epochs=3"])
    assert quick(chosen).train.epochs == 3
    assert quick(Config()).train.width == 16
