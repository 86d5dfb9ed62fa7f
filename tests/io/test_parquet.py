import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from gen5astro.errors import ColumnError, ExistsError, FormatError, MissingFileError, SchemaError
from gen5astro.io import open_pairs
from gen5astro.io.ingest import BlockFiller, ingest_row
from gen5astro.io.npz import encode_npz
from gen5astro.io.pairs import BlockRef, PairBlock
from gen5astro.io.parquet import PairWriter, ParquetPairs
from gen5astro.io.parquet_files import Rows
from gen5astro.io.paths import TablePairs
from gen5astro.sample import load_hosts

BANDS, SCALE = ("g", "r", "z"), 0.263


def make_block(n, *, size=16, **catalog):
    """Pairs cut from the real hosts: host and host with a bright spot."""
    images = load_hosts().image
    ctrl = np.ascontiguousarray(images[np.arange(n) % len(images), :, 30 : 30 + size, 30 : 30 + size])
    ctrl[:, 0, 0, 0] = np.arange(n)
    stamp = ctrl + np.float32(0.25)
    digest, census = np.empty((n, 2), np.uint64), np.empty((n, 2, 3, 4))
    for at in range(n):
        for member, rows in enumerate((stamp, ctrl)):
            out = np.empty_like(rows[at])
            census[at, member], digest[at, member] = ingest_row(rows[at], out)
    catalog = {"pair_id": np.array([f"p{at}" for at in range(n)]), "ra": np.arange(n) / 10, **catalog}
    return PairBlock(stamp, ctrl, catalog, np.arange(n), digest, census, BANDS, SCALE)


def write(path, block, **options):
    with PairWriter(path, BANDS, SCALE, **options) as writer:
        writer.write(block)
    return path


def table_of(block, **columns):
    """The same pairs as somebody else would write them."""
    images = {
        name: pa.array([encode_npz(image, BANDS) for image in pixels], pa.binary())
        for name, pixels in (("stamp_npz", block.stamp), ("ctrl_stamp_npz", block.ctrl))
    }
    return pa.table({**images, **columns})


def _write_two_kinds(writer):
    writer.write(make_block(2, size=4))
    writer.write(make_block(2, size=4, extra=np.zeros(2)))


def all_of(source, size=17):
    blocks, rejects = zip(*(source.read(ref) for ref in source.blocks(size)), strict=True)
    pixels = [np.concatenate([getattr(block, name) for block in blocks]) for name in ("stamp", "ctrl")]
    return pixels, [each for some in rejects for each in some], blocks


def test_a_file_says_what_was_matched_carried_along_and_not_read(tmp_path):
    columns = {"theta_E": [1.0, 2.0], **{f"m{at}": [0.0, 0.0] for at in range(10)}, "spectrum": [[1.0], [2.0]]}
    pq.write_table(table_of(make_block(2), **columns), tmp_path / "pairs.parquet")
    source = open_pairs(tmp_path / "pairs.parquet")
    absent = "Absent: ra, dec, arc_snr, host_id (say which with --column ra=NAME)"
    assert source.notes == (
        "Columns under other names: theta_e_arcsec = 'theta_E'",
        f"{absent}; carried along: m0, m1, m2, m3, m4, m5, m6, m7 and 2 more; not read: spectrum",
        "Pixel scale of 0.262 arcsec assumed: the input states none; say which with --pixel-scale",
    )
    assert source.notes[:2] == open_pairs(tmp_path / "pairs.parquet", pixel_scale=0.2).notes


def test_a_file_of_ours_states_its_pixel_scale_and_complete_columns_need_no_note(tmp_path):
    more = {name: np.zeros(3) for name in ("dec", "theta_e_arcsec", "arc_snr")}
    path = write(tmp_path / "pairs.parquet", make_block(3, **more, host_id=np.array(["a", "b", "c"])))
    assert open_pairs(path).notes == ()


@pytest.mark.parametrize("name", ["pairs.csv", "pairs", "pairs.parquet.gz"])
def test_a_name_that_is_not_of_parquet_is_refused(tmp_path, name):
    with pytest.raises(FormatError, match=r"got another ending; expected \.parquet or \.pq"):
        PairWriter(tmp_path / name, BANDS, SCALE)


def test_what_is_written_comes_back_to_the_bit(tmp_path):
    block = make_block(50, host_id=np.repeat("é", 50), snr_true=np.linspace(0, 1, 50))
    source = open_pairs(write(tmp_path / "pairs.parquet", block))
    assert (source.n_rows, source.bands, source.shape, source.pixel_scale) == (50, BANDS, (16, 16), SCALE)
    read, rejects = source.read(BlockRef(0, 50))
    assert not rejects
    for name in ("stamp", "ctrl", "digest", "census", "row"):
        np.testing.assert_array_equal(getattr(read, name), getattr(block, name))
    for name, values in block.catalog.items():
        np.testing.assert_array_equal(read.catalog[name], values)
    assert np.isnan(read.catalog["theta_e_arcsec"]).all()
    assert read.digest[3, 1] == xxhash.xxh64_intdigest(block.ctrl[3].tobytes())


@pytest.mark.parametrize("size", [1, 7, 32, 33, 300])
def test_the_size_of_blocks_does_not_matter(tmp_path, size):
    block = make_block(300, size=4)
    source = ParquetPairs(write(tmp_path / "pairs.parquet", block))
    (stamp, ctrl), rejects, blocks = all_of(source, size)
    np.testing.assert_array_equal(stamp, block.stamp)
    np.testing.assert_array_equal(ctrl, block.ctrl)
    assert not rejects
    assert np.concatenate([each.row for each in blocks]).tolist() == list(range(300))


@pytest.mark.parametrize("row_group_size", [10, 50, 1000])
def test_any_order_from_any_thread_gives_the_same(tmp_path, row_group_size, monkeypatch):
    monkeypatch.setattr(Rows, "KEPT_BYTES", 20_000)
    block = make_block(200, size=4)
    pq.write_table(table_of(block), tmp_path / "pairs.parquet", row_group_size=row_group_size)
    source = ParquetPairs(tmp_path / "pairs.parquet")
    refs = [BlockRef(start, min(start + 9, 200)) for start in range(0, 200, 9)]
    order = np.random.default_rng(3).permutation(len(refs))
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda at: source.read(refs[at])[0], order))
    for at, read in zip(order, blocks, strict=True):
        np.testing.assert_array_equal(read.stamp, block.stamp[refs[at].start : refs[at].stop])


def test_many_files_are_one_table(tmp_path):
    block = make_block(40, size=4)
    table = table_of(block, note=[str(at) for at in range(40)])
    (tmp_path / "deep").mkdir()
    pq.write_table(table[:15], tmp_path / "a.parquet")
    pq.write_table(table[15:15], tmp_path / "b.parquet")
    pq.write_table(table[15:], tmp_path / "deep" / "c.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    for place in (tmp_path, tmp_path / "**" / "*.parquet", f"{tmp_path.as_uri()}", f"{tmp_path.as_uri()}/**/*.parquet"):
        source = open_pairs(place)
        (stamp, _), _, blocks = all_of(source)
        np.testing.assert_array_equal(stamp, block.stamp)
        assert np.concatenate([each.catalog["note"] for each in blocks]).tolist() == [str(at) for at in range(40)]
        assert np.concatenate([each.catalog["pair_id"] for each in blocks])[-1] == "39"


def test_files_that_do_not_continue_the_table_are_refused(tmp_path):
    block = make_block(4, size=4)
    write(tmp_path / "a.parquet", block)
    pq.write_table(table_of(block, pair_id=[1, 2, 3, 4], ra=[0.0] * 4), tmp_path / "b.parquet")
    with pytest.raises(ColumnError, match=r"column 'pair_id' of .*b.parquet: got int64; expected string, as in"):
        ParquetPairs(tmp_path)
    pq.write_table(table_of(block, pair_id=["1"] * 4, ra=[0.0] * 4), tmp_path / "b.parquet")
    with pytest.raises(SchemaError, match=r"gen5astro.bands of .*b.parquet: got none; expected g,r,z, as in"):
        ParquetPairs(tmp_path)


def test_a_source_travels_to_another_process(tmp_path):
    block = make_block(20, size=4)
    source = ParquetPairs(write(tmp_path / "pairs.parquet", block))
    source.read(BlockRef(0, 5))
    read, _ = pickle.loads(pickle.dumps(source)).read(BlockRef(5, 20))
    np.testing.assert_array_equal(read.ctrl, block.ctrl[5:])


def test_bad_rows_are_rejected_and_the_others_stay(tmp_path):
    block = make_block(10, size=6)
    stamp = table_of(block)["stamp_npz"].to_pylist()
    stamp[0] = b"junk"
    stamp[2] = None
    stamp[3] = encode_npz(block.stamp[3, :, :4], BANDS)
    stamp[4] = encode_npz(block.stamp[4] * np.nan, BANDS)
    stamp[5] = encode_npz(block.stamp[5, :2], BANDS[:2])
    table = table_of(block, x=np.arange(10.0)).set_column(0, "stamp_npz", pa.array(stamp, pa.binary()))
    pq.write_table(table, tmp_path / "pairs.parquet")
    source = ParquetPairs(tmp_path / "pairs.parquet")
    assert source.shape == (6, 6)
    read, rejects = source.read(BlockRef(0, 10))
    assert read.row.tolist() == read.catalog["x"].tolist() == [1, 6, 7, 8, 9]
    np.testing.assert_array_equal(read.stamp, block.stamp[[1, 6, 7, 8, 9]])
    reasons = {each.row: each.reason for each in rejects}
    assert list(reasons) == [0, 2, 3, 4, 5]
    assert "stamp_npz: npz: got 4 bytes" in reasons[0]
    assert "stamp_npz: got null" in reasons[2]
    assert "(4, 6)" in reasons[3]
    assert "(6, 6)" in reasons[3]
    assert "no finite pixel in band g, r, z" in reasons[4]
    assert "expected a member 'image_z'" in reasons[5]


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_rows_ingested_at_once_are_those_ingested_one_by_one(tmp_path, monkeypatch, compress, kind):
    block = make_block(70)
    block.stamp[5, 1] = np.nan
    archives = [encode_npz(image, BANDS, compress=compress) for image in block.stamp]
    archives[40] = archives[40][:-1]
    archives[64] = None
    ctrl = [encode_npz(image, BANDS, compress=compress) for image in block.ctrl]
    columns = {"pair_id": [str(at) for at in range(70)], "ra": np.arange(70.0)}
    path = tmp_path / "pairs.parquet"
    pq.write_table(
        pa.table({"stamp_npz": pa.array(archives, kind), "ctrl_stamp_npz": pa.array(ctrl, kind), **columns}), path
    )
    at_once, rejects = ParquetPairs(path).read(BlockRef(3, 70))
    monkeypatch.setattr(BlockFiller, "add_archives", lambda *_: False)
    one_by_one, others = ParquetPairs(path).read(BlockRef(3, 70))
    assert [each.row for each in rejects] == [5, 40, 64]
    assert rejects == others
    for name in ("stamp", "ctrl", "row", "digest", "census"):
        np.testing.assert_array_equal(getattr(at_once, name), getattr(one_by_one, name))


def test_a_table_without_a_good_pair_says_why(tmp_path):
    table = pa.table({"stamp_npz": [b"x"] * 3, "ctrl_stamp_npz": [b"y"] * 3})
    pq.write_table(table, tmp_path / "pairs.parquet")
    with pytest.raises(FormatError, match=r"no readable pair in the first 3 rows; row 0: stamp_npz: npz: got 1 bytes"):
        ParquetPairs(tmp_path / "pairs.parquet")
    pq.write_table(table[:0], tmp_path / "pairs.parquet")
    with pytest.raises(FormatError, match="no rows"):
        ParquetPairs(tmp_path / "pairs.parquet")


def test_columns_of_other_names_and_types_are_understood(tmp_path):
    block = make_block(4, size=16)
    table = table_of(
        block,
        RA=pa.array([1, 2, None, 4], pa.int16()),
        split=pa.array(["train", "val", None, "test"]).dictionary_encode(),
        is_ok=[True, False, None, True],
        host=pa.array([2**60 + 1, 1, 2, None]),
        when=pa.array([0, 1, 2, 3], pa.timestamp("s")),
        vector=[[1.0], [2.0], [3.0], [4.0]],
    ).rename_columns(["injected_npz", "ctrl_npz", "RA", "split", "is_ok", "host", "when", "vector"])
    pq.write_table(table, tmp_path / "pairs.parquet")
    read, _ = open_pairs(tmp_path / "pairs.parquet", columns={"theta_e": "RA"}).read(BlockRef(0, 4))
    np.testing.assert_array_equal(read.catalog["theta_e_arcsec"], [1, 2, np.nan, 4])
    assert np.isnan(read.catalog["ra"]).all()
    assert read.catalog["region_split"].tolist() == ["train", "val", "", "test"]
    assert read.catalog["host_id"].tolist() == [str(2**60 + 1), "1", "2", ""]
    np.testing.assert_array_equal(read.catalog["is_ok"], [1, 0, np.nan, 1])
    assert not {"when", "vector"} & set(read.catalog)


def test_bands_and_pixel_scale_may_be_said(tmp_path):
    block = make_block(4, size=4)
    pq.write_table(table_of(block), tmp_path / "pairs.parquet")
    source = open_pairs(tmp_path / "pairs.parquet")
    assert (source.bands, source.pixel_scale) == (BANDS, 0.262)
    source = open_pairs(tmp_path / "pairs.parquet", bands=["r"], pixel_scale=0.5)
    assert (source.bands, source.pixel_scale) == (("r",), 0.5)
    np.testing.assert_array_equal(source.read(BlockRef(0, 4))[0].stamp, block.stamp[:, 1:2])


def test_wrong_columns_name_the_closest(tmp_path):
    pq.write_table(pa.table({"stamps_npz": [b""], "ctrl_stamp_npz": ["text"]}), tmp_path / "pairs.parquet")
    with pytest.raises(ColumnError, match=r"column 'stamp_npz': got no such column; did you mean 'stamps_npz'\?"):
        open_pairs(tmp_path / "pairs.parquet")
    with pytest.raises(ColumnError, match=r"column 'ctrl_stamp_npz' of .*: got type string; expected binary"):
        open_pairs(tmp_path / "pairs.parquet", columns={"stamp_npz": "stamps_npz"})


def test_what_is_no_pairs_is_refused_in_one_line(tmp_path):
    for name, said in [("a.parquet", "no readable Parquet"), ("a", "no readable Parquet"), ("a.npz", "one image")]:
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(FormatError, match=said):
            open_pairs(tmp_path / name)
    (tmp_path / "empty").mkdir()
    for name in ("missing.parquet", "missing", "*.nothing", "empty"):
        with pytest.raises(MissingFileError):
            open_pairs(tmp_path / name)
    for uri in (f"file://{tmp_path}/missing.parquet", "nonsense://a/b.parquet"):
        with pytest.raises(MissingFileError):
            open_pairs(uri)


def test_a_measurement_table_is_said_to_be_one(tmp_path):
    names = ("row", "stamp_digest", "ctrl_digest", "ctrl_core_flux", "core_excess")
    pq.write_table(pa.table({name: [0.0] for name in names}), tmp_path / "measure.parquet")
    with pytest.raises(FormatError, match=r"measure\.parquet: got the measurement table of an audit.*name the pairs"):
        open_pairs(tmp_path / "measure.parquet")


def test_a_package_that_is_missing_for_a_uri_is_named(monkeypatch):
    def needs(_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", needs)
    with pytest.raises(MissingFileError, match=r"got no package that reads s3://.*pip install s3fs"):
        open_pairs("s3://bucket/pairs.parquet")


def test_a_damaged_file_is_an_error_of_the_file(tmp_path):
    path = write(tmp_path / "pairs.parquet", make_block(64, size=8))
    content = bytearray(path.read_bytes())
    content[:2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"pairs\.parquet"):
        ParquetPairs(path)


def test_parquet_may_name_files_instead(tmp_path):
    block = make_block(2, size=4)
    for at in range(2):
        (tmp_path / f"s{at}.npz").write_bytes(encode_npz(block.stamp[at], BANDS))
        (tmp_path / f"c{at}.npz").write_bytes(encode_npz(block.ctrl[at], BANDS))
    table = pa.table({"stamp_path": ["s0.npz", "s1.npz"], "ctrl_path": ["c0.npz", "c1.npz"], "host_id": [5, 6]})
    pq.write_table(table, tmp_path / "pairs.parquet")
    source = open_pairs(tmp_path / "pairs.parquet")
    assert isinstance(source, TablePairs)
    read, rejects = source.read(BlockRef(0, 2))
    assert not rejects
    np.testing.assert_array_equal(read.stamp, block.stamp)
    assert read.catalog["host_id"].tolist() == ["5", "6"]


def test_the_writer_keeps_what_is_there_and_leaves_no_half_file(tmp_path):
    path = write(tmp_path / "pairs.parquet", make_block(3, size=4))
    before = path.read_bytes()
    with pytest.raises(ExistsError, match="--force"):
        PairWriter(path, BANDS, SCALE)
    writer = PairWriter(path, BANDS, SCALE, force=True)
    with pytest.raises(SchemaError), writer:
        _write_two_kinds(writer)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["pairs.parquet"]
    write(path, make_block(5, size=4), force=True)
    assert ParquetPairs(path).n_rows == 5
    with pytest.raises(MissingFileError, match="no such folder"):
        PairWriter(tmp_path / "none" / "pairs.parquet", BANDS, SCALE)


def test_the_writer_states_bands_scale_and_what_columns_mean(tmp_path):
    path = write(tmp_path / "pairs.parquet", make_block(600, size=2), column_notes={"ra": "made up [deg]"})
    footer = pq.read_metadata(path)
    assert max(footer.row_group(at).num_rows for at in range(footer.num_row_groups)) <= 256
    schema = pq.read_schema(path)
    assert schema.metadata[b"gen5astro.bands"] == b"g,r,z"
    assert schema.metadata[b"gen5astro.pixel_scale"] == b"0.263"
    assert schema.field("ra").metadata[b"description"] == b"made up [deg]"
    assert b"nanomaggy" in schema.field("stamp_npz").metadata[b"description"]


def test_the_writer_refuses_blocks_of_another_kind(tmp_path):
    with pytest.raises(SchemaError, match="columns"), PairWriter(tmp_path / "a.parquet", BANDS, SCALE) as writer:
        _write_two_kinds(writer)
    with pytest.raises(SchemaError, match=r"0\.263"), PairWriter(tmp_path / "a.parquet", BANDS, 0.2) as writer:
        writer.write(make_block(2, size=4))
    assert os.listdir(tmp_path) == []


def test_nothing_written_is_a_file_without_rows(tmp_path):
    with PairWriter(tmp_path / "a.parquet", BANDS, SCALE):
        pass
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak memory from Linux's /proc")
def test_memory_does_not_follow_the_size_of_a_row_group(tmp_path):
    """A larger file in one row group, as pandas writes it, takes no more memory to read."""
    rng = np.random.default_rng(0)
    peaks = []
    for n in (2000, 8000):
        path = tmp_path / f"{n}.parquet"
        images = pa.array([rng.bytes(10_000) for _ in range(n)], pa.binary())
        good = encode_npz(rng.normal(size=(3, 8, 8)).astype("f4"), BANDS)
        first = pa.array([good] + [None] * (n - 1), pa.binary())
        table = pa.table(
            {"stamp_npz": first.fill_null(b""), "ctrl_stamp_npz": pa.concat_arrays([first[:1], images[1:]])}
        )
        pq.write_table(table, path, row_group_size=n)
        code = (
            "import re, sys\nfrom gen5astro.io import open_pairs\nsource = open_pairs(sys.argv[1])\n"
            "print(sum(len(source.read(ref)[1]) for ref in source.blocks(256)))\n"
            "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        rejects, peak = map(int, done.stdout.split())
        assert rejects == n - 1
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0]
