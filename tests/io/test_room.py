"""What writers say of a full disk, each in its own way; `tests.test_full_disk` fills disks in earnest."""

import errno
import os
import re

import numpy as np
import pytest

from gen5astro.errors import Gen5Error, MissingFileError, WriteError
from gen5astro.io.room import writing

HDF5 = (
    "Can't decrement id ref count (file write failed: filename = 'x.h5', errno = 28, error message = 'No space left')"
)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError(HDF5),
        OSError("Not enough space on disk: requested 9 bytes, available 1."),
        OSError("184320 requested and 70240 written"),
    ],
    ids=["system", "quota", "HDF5", "astropy", "NumPy"],
)
def test_a_full_disk_is_one_error_whoever_met_it(tmp_path, error):
    said = r"output .*cube.h5: got .* MB free in .*expected room.*free some"
    with pytest.raises(WriteError, match=said) as caught, writing(tmp_path / "new" / "cube.h5"):
        raise error
    assert isinstance(caught.value, Gen5Error)
    assert isinstance(caught.value, OSError)
    assert caught.value.exit_code == 2
    assert "--resume" not in str(caught.value)


def test_what_a_build_has_done_can_be_gone_on_with(tmp_path):
    (tmp_path / "cube.h5.part").mkdir()
    with pytest.raises(WriteError, match="free some space and go on with --resume"), writing(tmp_path / "cube.h5"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_that_hides_the_first_does_not_hide_it_from_us(tmp_path):
    def write():
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 - as a writer that fails to close does

    with pytest.raises(WriteError, match="No space left"), writing(tmp_path / "last.ckpt"):
        write()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_what_may_not_be_written_to_is_told_from_what_may_not_be_read(tmp_path, number):
    out = tmp_path / "out" / "cube.h5"
    for place in (out, out.parent / "cube.h5.part" / "journal"):
        with pytest.raises(WriteError, match=re.escape(f"output {out}: got {os.strerror(number)}")), writing(out):
            raise OSError(number, os.strerror(number), str(place))
    with pytest.raises(OSError, match=r"pairs\.parquet") as caught, writing(out):
        raise OSError(number, os.strerror(number), str(tmp_path / "pairs.parquet"))
    assert not isinstance(caught.value, WriteError)


def test_all_else_passes_as_it_is(tmp_path):
    for error in (MissingFileError("a"), ValueError("184320 pixels"), OSError(errno.EIO, "Input/output error")):
        with pytest.raises(type(error)) as caught, writing(tmp_path / "a"):
            raise error
        assert caught.value is error
    with pytest.raises(OSError, match="No space"), writing(None):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_room_is_taken_for_what_is_written_through_a_map(tmp_path):
    from gen5astro.io.pixels import MapToWrite

    path = tmp_path / "holes"
    path.write_bytes(b"head")
    os.truncate(path, 1 << 20)
    places = {"a": (4096, np.dtype("<f8"), (1000, 8)), "b": (1 << 19, np.dtype("<i2"), (3,))}
    with MapToWrite(path, places) as maps:
        assert path.stat().st_blocks * 512 >= 64_000
        maps["a"][:], maps["b"][:] = 1.5, 7
        maps.release()
        assert maps["a"][999, 7] == 1.5
    assert path.stat().st_size == 1 << 20
    assert np.fromfile(path, "<f8", 8000, offset=4096).tolist() == [1.5] * 8000
