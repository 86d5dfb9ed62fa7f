"""Damaged files: refused in one line, or read as NumPy and astropy read them; `tests.fuzz` looks longer."""

import atexit
import contextlib
import io
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gen5astro.io.archive import Archive
from gen5astro.io.ingest import find_reference
from gen5astro.io.npz import _decode_planes, decode_npy, decode_npz
from gen5astro.io.paths import read_wire_image
from tests.io.fuzzed import damaged_fits, npy_payloads, npz_payloads, refused_in_one_line

CHOICES = [("g", "r", "z"), None, ("z", "g")]
FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def chw(image):
    """Pixels as (band, y, x)."""
    return image.pixels if image.layout == "chw" else image.pixels.transpose(2, 0, 1)


def by_numpy(payload, names):
    """Arrays of an archive as NumPy reads them; where it finds fault with the zip, as it reads the members."""
    try:
        with np.load(io.BytesIO(payload)) as file:
            return {name: file[name] for name in names}
    except Exception:
        archive = Archive(payload)
        return {name: np.lib.format.read_array(io.BytesIO(bytes(archive.read(name)))) for name in names}


def check_npz(payload, bands):
    """Refused in one line, or as NumPy reads it, and by the compiled reader as by the other."""
    with refused_in_one_line():
        read = decode_npz(payload, bands=bands)
        names = Archive(payload).entries
        planes = [f"image_{band}" for band in read.bands]
        cubes = [name for name in ("image", "cutout", "arr_0", "data") if name in names]
        kept = planes if all(name in names for name in planes) else cubes[:1]
        arrays = by_numpy(payload, kept)
        expected = np.stack([arrays[name] for name in kept]) if kept == planes else arrays[kept[0]]
        if kept != planes and read.layout == "hwc":
            expected = expected.transpose(2, 0, 1)
        found = chw(read)
        same = (found == expected.reshape(found.shape)) | np.isnan(found)
        assert same.all()
        if not any(name.startswith(("invvar", "ivar", "weight")) for name in names):
            np.testing.assert_array_equal(found, expected.reshape(found.shape))
            assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        np.testing.assert_array_equal(chw(_decode_planes(Archive(payload), bands)), found)
        find_reference([(0, lambda _: read)], label="damaged", members=("image",))
        return "read"
    return "refused"


def check_npy(payload):
    """Refused in one line, or as NumPy reads it."""
    with refused_in_one_line():
        read = decode_npy(payload, bands=("g", "r", "z"))
        expected = np.lib.format.read_array(io.BytesIO(payload))
        np.testing.assert_array_equal(read.pixels, expected)
        return "read"
    return "refused"


def planes_of_astropy(path):
    """Every plane of every image of a file that astropy can read; what is no band of ours may be broken."""
    planes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) and len(hdu.shape) in (2, 3):
                    with contextlib.suppress(Exception):
                        planes += list(hdu.data) if len(hdu.shape) == 3 else [hdu.data]
    return planes


def is_scaled(plane, stored):
    """Whether a plane is another times one factor, in float32, but for pixels that were not measured."""
    if plane.shape != stored.shape:
        return False
    with np.errstate(all="ignore"):
        stored = np.asarray(stored, np.float64)
        known = np.isfinite(plane) & (plane != 0) & np.isfinite(stored) & (stored != 0)
        factor = np.median(plane[known] / stored[known]) if known.any() else 1.0
        expected = (stored * factor).astype(np.float32)
        return np.all(np.isclose(plane, expected, rtol=1e-5, atol=1e-37, equal_nan=True) | np.isnan(plane))


def check_fits(file, bands):
    """Refused in one line, or each band an image that astropy finds in the file, but for its unit."""
    name, content = file
    path = FOLDER / name
    path.write_bytes(content)
    with refused_in_one_line():
        read = read_wire_image(path, bands=bands)
        stored = planes_of_astropy(path)
        assert read.pixels.dtype == np.float32
        for plane in read.pixels:
            assert any(is_scaled(plane, each) for each in stored)
        find_reference([(0, lambda _: read)], label="damaged", members=("image",))
        return "read"
    return "refused"


INPUTS = {
    "npz": (npz_payloads(), st.sampled_from(CHOICES)),
    "npy": (npy_payloads(),),
    "fits": (damaged_fits(), st.sampled_from(CHOICES[:2])),
}
CHECKS = {"npz": check_npz, "npy": check_npy, "fits": check_fits}
EXAMPLES = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(*INPUTS["npz"])
@settings(EXAMPLES, max_examples=400)
def test_a_damaged_archive_is_refused_or_read_as_numpy_reads_it(payload, bands):
    check_npz(payload, bands)


@given(*INPUTS["npy"])
@settings(EXAMPLES, max_examples=200)
def test_a_damaged_array_is_refused_or_read_as_numpy_reads_it(payload):
    check_npy(payload)


@given(*INPUTS["fits"])
@settings(EXAMPLES, max_examples=200)
def test_a_damaged_fits_file_is_refused_or_read_as_astropy_reads_it(file, bands):
    check_fits(file, bands)
