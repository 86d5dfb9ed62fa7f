"""Make the files of ``gen5astro/sample/data`` from the public data they come from.

``python scripts/make_sample.py SOURCE [OUT]``, where SOURCE holds

- ``hosts_des/des_lrg_dev_30.fits``: example backgrounds of deeplenstronomy (MIT), cut to 30 rows;
- ``viewer_fits/pysersic_copsf_59.1067_-30.4848.fits``: a coadd PSF of the Legacy Surveys, as pysersic (MIT) ships it;
- ``real_lens_candidates/*.npz``: Legacy Surveys DR10 viewer cutouts of three lens candidates;
- ``catalogs/dr10_lrg_parent_6826.parquet``: positions of DR10 red galaxies;
- ``catalogs/lenscat_1.1.3_catalog.csv.gz``: lenscat 1.1.3 (MIT).

The same input gives the same bytes.
"""

import csv
import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from scipy import ndimage

BANDS = ("g", "r", "z")
COUNTS_ZERO_POINT = 30.0
NANOMAGGY_ZERO_POINT = 22.5
HOST_PIXEL_SCALE = 0.263
LEGACY_PIXEL_SCALE = 0.262
MIN_SEPARATION_ARCSEC = 60.0

LENS_SEARCHES = ("ab26b6", "1811.03786", "1906.00970", "2005.04730", "2206.02764", "2110.00023")

THANKS_DES = (
    "This file uses public data of the Dark Energy Survey (DES). Funding for the DES Projects has been provided by "
    "the U.S. Department of Energy, the U.S. National Science Foundation, and the institutions that participate in "
    "the DES. See https://www.darkenergysurvey.org/the-des-project/data-access/ for the full text."
)
THANKS_LEGACY = (
    "This file uses public data of the DESI Legacy Imaging Surveys (DECaLS, BASS and MzLS), which are supported by "
    "the U.S. Department of Energy and the U.S. National Science Foundation. "
    "See https://www.legacysurvey.org/acknowledgment/ for the full text."
)
SYNTHETIC = "SYNTHETIC: the position of another real red galaxy (DR10), lent so that sky splits work; not where this is"


def main(arguments):
    """Write hosts.fits, candidates.fits and known_lenses.csv.gz."""
    if not 1 <= len(arguments) <= 2:
        sys.exit(__doc__)
    source = Path(arguments[0])
    default = Path(__file__).resolve().parent.parent / "gen5astro" / "sample" / "data"
    out = Path(arguments[1]) if len(arguments) == 2 else default
    out.mkdir(parents=True, exist_ok=True)
    lenses = read_lenses(source / "catalogs" / "lenscat_1.1.3_catalog.csv.gz")
    write_hosts(source, out / "hosts.fits", lenses)
    write_candidates(source / "real_lens_candidates", out / "candidates.fits")
    write_lenses(lenses, out / "known_lenses.csv.gz")
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size:>10,d}  {path.name}")


def write_hosts(source, path, lenses):
    """Write the galaxies, band by band, their table, and the PSF of each band."""
    factor = 10 ** (-0.4 * (COUNTS_ZERO_POINT - NANOMAGGY_ZERO_POINT))
    with fits.open(source / "hosts_des" / "des_lrg_dev_30.fits") as hdus:
        images = {band: (hdus[band.upper()].data * factor).astype(">f4") for band in BANDS}
        dispersion = np.array(hdus["INFO"].data["SIGMA_V"], dtype=float)
    primary = fits.PrimaryHDU()
    header = primary.header
    header["SURVEY"] = "DES"
    header["ORIGIN"] = "deeplenstronomy example backgrounds, 30 rows"
    header["LICENSE"] = "MIT (deeplenstronomy)"
    header["PIXSCALE"] = (HOST_PIXEL_SCALE, "arcsec / pix")
    header["MAGZERO"] = (NANOMAGGY_ZERO_POINT, "AB; nanomaggies")
    header["BANDS"] = "".join(BANDS)
    header["HISTORY"] = "pixels were counts at zero point 30 (inferred from the sky noise); x 10^(-0.4 * 7.5)"
    header["COMMENT"] = "Real galaxies. RA and DEC in HOSTS are " + SYNTHETIC
    header["COMMENT"] = "Some cutouts hold a saturated star in a corner: real sky does too."
    header["COMMENT"] = THANKS_DES
    header["COMMENT"] = THANKS_LEGACY
    hdus = [primary]
    for band, pixels in images.items():
        hdus.append(image_hdu(band.upper(), pixels, BAND=band, BUNIT="nanomaggy", PIXSCALE=HOST_PIXEL_SCALE))
    hdus.append(host_table(images, dispersion, *lend_positions(source, len(dispersion), lenses)))
    with fits.open(source / "viewer_fits" / "pysersic_copsf_59.1067_-30.4848.fits") as psfs:
        for band, psf in zip(BANDS, psfs, strict=True):
            hdu = image_hdu(f"PSF_{band.upper()}", psf.data.astype(">f4"), BAND=band, PIXSCALE=LEGACY_PIXEL_SCALE)
            hdu.header["ORIGIN"] = "Legacy Surveys coadd PSF at 59.1067 -30.4848"
            hdu.header["LICENSE"] = "MIT (pysersic example data)"
            hdu.header["COMMENT"] = (
                "A real DECam coadd PSF, but not that of the DES cutouts beside it. As it came: sum 1 to 1e-7, "
                "wings negative by less than 7e-4 of the flux in all."
            )
            hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, overwrite=True, checksum=False)


def image_hdu(name, pixels, **cards):
    """Return an image HDU with some header cards."""
    hdu = fits.ImageHDU(pixels, name=name)
    hdu.header.update(cards)
    return hdu


def host_table(images, dispersion, ra, dec, brick):
    """Return the table of the hosts."""
    count, height, width = images["r"].shape
    y, x = np.indices((height, width))
    outside = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) > 8
    bright = np.zeros(count, dtype=bool)
    for pixels in images.values():
        smooth = ndimage.median_filter(pixels.astype(float), size=(1, 3, 3))
        bright |= (smooth * outside).max((1, 2)) > 5 * (smooth * ~outside).max((1, 2))
    columns = [
        ("host_id", "8A", None, [f"des-{row:02d}" for row in range(count)], "number in the source file"),
        ("ra", "D", "deg", ra, SYNTHETIC),
        ("dec", "D", "deg", dec, SYNTHETIC),
        ("brickname", "8A", None, brick, "Legacy Surveys brick of the synthetic position"),
        ("velocity_dispersion_kms", "E", "km / s", dispersion, "SDSS, real, of this galaxy"),
        ("bright_neighbor", "L", None, bright, "a star > 5 x the galaxy's peak, beyond 8 pix, in some band"),
    ]
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, form, unit, array=values) for name, form, unit, values, _ in columns], name="HOSTS"
    )
    for at, (*_, note) in enumerate(columns, start=1):
        table.header["COMMENT"] = f"TTYPE{at}: {note}"
    return table


def lend_positions(source, count, lenses):
    """Return `count` real DR10 positions, each as far from those before it as can be, and away from known lenses."""
    table = pq.read_table(source / "catalogs" / "dr10_lrg_parent_6826.parquet", columns=["RA", "DEC", "BRICKNAME"])
    ra, dec = (np.round(np.asarray(table[name], dtype=float), 7) for name in ("RA", "DEC"))
    brick = np.array(table["BRICKNAME"].to_pylist())
    order = np.lexsort((dec, ra))
    ra, dec, brick = ra[order], dec[order], brick[order]
    known = SkyCoord(lenses["ra"] * u.deg, lenses["dec"] * u.deg)
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    free = sky.match_to_catalog_sky(known)[1].arcsec > MIN_SEPARATION_ARCSEC
    ra, dec, brick, sky = ra[free], dec[free], brick[free], sky[free]
    chosen = [0]
    nearest = sky.separation(sky[0]).arcsec
    while len(chosen) < count:
        farthest = int(np.argmax(nearest))
        if nearest[farthest] <= MIN_SEPARATION_ARCSEC:
            sys.exit(f"only {len(chosen)} positions are {MIN_SEPARATION_ARCSEC} arcsec apart")
        chosen.append(farthest)
        nearest = np.minimum(nearest, sky.separation(sky[farthest]).arcsec)
    return ra[chosen], dec[chosen], brick[chosen]


def write_candidates(folder, path):
    """Write the lens candidates, one HDU each."""
    primary = fits.PrimaryHDU()
    primary.header["SURVEY"] = "DESI Legacy Imaging Surveys DR10"
    primary.header["BANDS"] = "".join(BANDS)
    primary.header["LICENSE"] = "public DR10 pixels; acknowledge as below"
    primary.header["COMMENT"] = "Candidates found by a lens search; none is confirmed. TIER is that search's grade."
    primary.header["COMMENT"] = THANKS_LEGACY
    hdus = [primary]
    for source in sorted(folder.glob("*.npz")):
        with np.load(source, allow_pickle=False) as members:
            pixels = np.ascontiguousarray(np.moveaxis(members["cutout"], -1, 0)).astype(">f4")
            hdu = image_hdu(str(members["meta_galaxy_id"]), pixels, BUNIT="nanomaggy", BANDS="".join(BANDS))
            hdu.header["NAME"] = str(members["meta_galaxy_id"])
            hdu.header["RA"] = (round(float(members["meta_ra"]), 8), "deg, ICRS, of the central pixel")
            hdu.header["DEC"] = (round(float(members["meta_dec"]), 8), "deg, ICRS")
            hdu.header["PIXSCALE"] = (float(members["meta_pixel_scale"]), "arcsec / pix")
            hdu.header["TIER"] = str(members["meta_tier"])
            hdu.header["BRICK"] = str(members["meta_brickname"])
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, overwrite=True)


def read_lenses(path):
    """Return the rows of lenscat that a search for lenses found."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    rows = [row for row in rows if any(reference in row[6] for reference in LENS_SEARCHES)]
    names = ("name", "ra", "dec", "z_lens", "kind", "grading", "ref")
    table = Table(rows=rows, names=names, dtype=(str,) * len(names))
    for name in ("ra", "dec"):
        table[name] = table[name].astype(float)
    table["z_lens"] = ["" if value in ("-", "not measured", "measured") else value for value in table["z_lens"]]
    return table


def write_lenses(table, path):
    """Write the lens catalog, gzipped, without a time stamp."""
    text = io.StringIO()
    text.write("# Lenses and candidates found by searches for lenses; a subset of lenscat 1.1.3 (MIT license).\n")
    text.write("# Rows whose references include " + ", ".join(LENS_SEARCHES) + ".\n")
    text.write("# ra, dec: ICRS deg. z_lens: free text. kind: type of the lens. ref: where the row comes from.\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.colnames)
    writer.writerows(table.iterrows())
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, filename="", mtime=0) as out:
        out.write(text.getvalue().encode("utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
