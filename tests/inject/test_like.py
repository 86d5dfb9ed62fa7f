"""Pairs made again are the pairs that were made, to the bit, less their fault."""

import dataclasses

import numpy as np
import pytest

from gen5astro.config import InjectConfig
from gen5astro.errors import ColumnError, ConfigError, RejectedError, SchemaError
from gen5astro.inject.blocks import write_pairs
from gen5astro.inject.like import Likeness, inject_like, open_like, write_like
from gen5astro.sample import load_hosts
from tests.factories import make_pairs
from tests.sources import MemorySource

SIZE = 40


def pairs(n=8, fault=None, **settings):
    return make_pairs(n, np.random.default_rng(4), size=SIZE, fault=fault, **settings)


def again(made_before, hosts="sample", *, config=None, bad=None, renamed=None, **options):
    likeness = Likeness(MemorySource(made_before, bad=bad), renamed or {})
    hosts = load_hosts() if hosts == "sample" else hosts
    made = inject_like(likeness, hosts, **{"seed": 0, "config": config or InjectConfig(), "threads": 1} | options)
    return [block for block, _, _ in made]


def joined(blocks, name):
    return np.concatenate([getattr(block, name) for block in blocks])


@pytest.mark.parametrize("fault", [None, "pedestal", "gain", "own_normalization", "noise_redrawn"])
def test_a_faulty_set_is_mended_to_the_bit(fault):
    clean, faulty = pairs(), pairs(fault=fault)
    (made,) = again(faulty)
    assert np.array_equal(made.stamp, clean.stamp)
    assert np.array_equal(made.ctrl, clean.ctrl)
    assert np.array_equal(made.digest, clean.digest)
    assert list(made.catalog) == list(clean.catalog)
    for name, values in clean.catalog.items():
        assert np.array_equal(made.catalog[name], values), name


def test_blocks_threads_and_order_do_not_matter():
    block = pairs(9)
    once, in_parts = again(block), again(block, block=2, threads=2)
    assert np.array_equal(joined(once, "stamp"), joined(in_parts, "stamp"))
    turned = MemorySource(block)
    turned.block = dataclasses.replace(
        block, catalog={name: values[::-1] for name, values in block.catalog.items()}, ctrl=block.ctrl[::-1].copy()
    )
    ((made, _, _),) = inject_like(Likeness(turned), load_hosts(), seed=0, config=InjectConfig())
    assert np.array_equal(made.stamp[::-1], once[0].stamp)


def test_a_fault_may_be_planted_into_the_same_pairs():
    (made,) = again(pairs(), fault="pedestal:0.5")
    assert np.array_equal(made.stamp, pairs(fault="pedestal:0.5").stamp)


def test_ctrls_are_the_hosts_where_there_are_no_others():
    block = pairs(6)
    (made,) = again(block, None)
    assert np.array_equal(made.ctrl, block.ctrl)
    arc, expected = (each.stamp.astype(float) - each.ctrl for each in (made, block))
    assert arc.sum((2, 3)) == pytest.approx(expected.sum((2, 3)), rel=0.1)
    assert np.corrcoef(arc.ravel(), expected.ravel())[0, 1] > 0.97


def test_with_ctrls_as_hosts_the_lens_is_in_the_middle_unless_the_table_says_where():
    block = pairs(3)
    for name in ("center_x", "center_y"):
        del block.catalog[name]
    (made,) = again(block, None)
    assert np.all(made.catalog["center_x"] == (SIZE - 1) / 2)


def test_columns_under_other_names_are_found():
    block = pairs(3)
    clean = block.stamp.copy()
    block.catalog["sx"] = block.catalog.pop("source_x")
    (made,) = again(block, renamed={"source_x": "sx"})
    assert np.array_equal(made.stamp, clean)
    with pytest.raises(ColumnError, match="'sy'"):
        again(block, renamed={"source_x": "sy"})


def test_all_missing_columns_are_named_in_one_line():
    block = pairs(3)
    for name in ("source_x", "lens_e1", "source_mag_r"):
        del block.catalog[name]
    with pytest.raises(ColumnError, match=r"no lens_e1, source_x, source_mag_r; .*--column NAME=COLUMN"):
        again(block)


def test_the_fwhm_is_needed_only_where_hosts_have_no_psf():
    block = pairs(3)
    del block.catalog["psfsize_r"]
    again(block)
    with pytest.raises(ColumnError, match="no psfsize_r"):
        again(block, None)


@pytest.mark.parametrize("fwhm", [0.0, np.nan])
def test_an_impossible_fwhm_is_refused(fwhm):
    block = pairs(3)
    block.catalog["psfsize_r"][1] = fwhm
    with pytest.raises(ColumnError, match="psfsize"):
        again(block, None)


def test_a_number_that_is_missing_names_its_pair():
    block = pairs(3)
    block.catalog["source_x"][1] = np.nan
    with pytest.raises(ColumnError, match=f"'source_x' of pair {block.catalog['pair_id'][1]}"):
        again(block)
    block.catalog["source_x"] = np.array(["a", "b", "c"])
    with pytest.raises(ColumnError, match="finite number"):
        again(block)


def test_a_host_that_is_not_there_is_named_with_the_remedy():
    block = pairs(3)
    block.catalog["host_id"] = np.array(["theirs"] * 3)
    with pytest.raises(ColumnError, match=r"'theirs'.*the word ctrl"):
        again(block)


def test_hosts_of_other_bands_or_shape_are_refused():
    block = pairs(3)
    with pytest.raises(SchemaError, match="g,r,i at"):
        again(dataclasses.replace(block, bands=("g", "r", "i")))
    narrow = {name: np.ascontiguousarray(getattr(block, name)[..., 1:]) for name in ("stamp", "ctrl")}
    with pytest.raises(SchemaError, match="40 x 39 pix"):
        again(dataclasses.replace(block, **narrow))


def test_a_block_of_none_is_refused():
    with pytest.raises(ConfigError, match="block=0"):
        again(pairs(3), block=0)


def test_the_record_in_the_file_says_how_to_render(tmp_path):
    path, out = tmp_path / "pairs.parquet", tmp_path / "again.parquet"
    config = InjectConfig(size=SIZE, supersampling=2, poisson=True, engine="lenstronomy", lens_model=("SIS",))
    write_pairs(load_hosts(), 5, path, seed=9, config=config, fault="gain")
    likeness = open_like(path)
    chosen, seed = likeness.choose(InjectConfig())
    assert seed == 9
    assert (chosen.supersampling, chosen.poisson, chosen.engine, chosen.lens_model) == (
        2,
        True,
        "lenstronomy",
        ("SIS",),
    )
    outcome = write_like(likeness, load_hosts(), out, seed=seed, config=chosen, max_reject_fraction=0.0)
    assert (outcome.pairs, outcome.rejects, outcome.other_ctrls) == (5, [], 0)
    write_pairs(load_hosts(), 5, path, seed=9, config=config, force=True)
    sources = [open_like(each) for each in (path, out)]
    clean, mended = (each.read(next(iter(each.source.blocks(9))))[0] for each in sources)
    assert np.array_equal(mended.digest, clean.digest)


def test_what_the_user_changed_holds_against_the_record(tmp_path):
    path = tmp_path / "pairs.parquet"
    config = InjectConfig(size=SIZE, supersampling=2, engine="lenstronomy", lens_model=("SIS",))
    write_pairs(load_hosts(), 1, path, seed=9, config=config)
    likeness = open_like(path)
    chosen, seed = likeness.choose(InjectConfig(supersampling=5), seed=1, keep=["engine"])
    assert (chosen.supersampling, chosen.engine, chosen.lens_model, seed) == (5, "native", ("SIE", "SHEAR"), 1)


def test_rows_that_cannot_be_read_are_reported_and_too_many_stop_the_run(tmp_path):
    likeness = Likeness(MemorySource(pairs(6), bad={0: "broken zip", 3: "broken zip"}))
    assert likeness.choose(InjectConfig())[1] == 0
    options = {"seed": 0, "config": InjectConfig()}
    outcome = write_like(likeness, load_hosts(), tmp_path / "some.parquet", max_reject_fraction=0.5, **options)
    assert (outcome.pairs, [each.row for each in outcome.rejects]) == (4, [0, 3])
    with pytest.raises(RejectedError, match=r"2 of 6 rows rejected \(row 0: broken zip\)"):
        write_like(likeness, load_hosts(), tmp_path / "none.parquet", max_reject_fraction=0.1, **options)
    assert not list(tmp_path.glob("none*"))


def test_a_block_of_bad_rows_only_stops_nothing():
    made = again(pairs(4), bad={0: "broken", 1: "broken"}, block=2)
    assert [len(each) for each in made] == [0, 2]


def test_ctrls_that_are_not_the_hosts_pixels_are_counted():
    block = pairs(4)
    block.digest[1, 1] += 1
    ((_, _, other),) = inject_like(Likeness(MemorySource(block)), load_hosts(), seed=0, config=InjectConfig())
    assert other == 1
