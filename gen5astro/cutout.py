"""Cut stamps out of coadds at the positions of a catalog: hosts for `gen5astro inject`, from a survey's own images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gen5astro.errors import FormatError, RejectedError
from gen5astro.io.catalog import assemble_catalog, read_table, resolve_columns
from gen5astro.io.coadds import UncutError, cut_stamp, order_bands, read_coadds, stacked_psf
from gen5astro.io.pairs import CutoutBlock, Reject
from gen5astro.io.parquet import CutoutWriter
from gen5astro.io.psf import read_psf
from gen5astro.io.rejects import keep_rejects, rejects_path

__all__ = ["COLUMN_NOTES", "CUTOUT_SCHEMA", "Positions", "cut_catalog", "read_positions"]

CUTOUT_SCHEMA = "gen5astro-cutout/1"
"""Name and version of the summary's layout."""

COLUMN_NOTES = {
    "cutout_x": "the object in its cutout, 0 in the middle of the first pixel [pix]",
    "cutout_y": "the object in its cutout, 0 in the middle of the first pixel [pix]",
    "cutout_image": "file that the first band was cut from",
    "cutout_wcs": "WCS of the cutout: cards of a FITS header",
    "masked_fraction": "share of the pixels that a mask of the coadd flags; they keep their values",
}
"""Meaning of the columns that are ours."""

_BLOCK = 64


@dataclass(frozen=True)
class Positions:
    """A catalog of positions.

    Parameters
    ----------
    label : str
        What to call it in messages.
    columns : dict of array, (n,)
        ``pair_id``, ``ra``, ``dec`` [deg, ICRS], and what the catalog has beside.
    """

    label: str
    columns: dict[str, np.ndarray]

    def __len__(self):
        return len(self.columns["ra"])

    def identify(self, rows):
        """Say what tells rows beside their number.

        Parameters
        ----------
        rows : int array, (n,)
            Row numbers.

        Returns
        -------
        columns : dict of array, (n,)
            ``pair_id``.
        """
        return {"pair_id": self.columns["pair_id"][rows]}


def read_positions(path, *, columns=None):
    """Read the positions of a catalog.

    Parameters
    ----------
    path : path-like
        Table with ``ra`` and ``dec`` [deg, ICRS]; every other column of numbers or strings rides along.
    columns : dict of str to str, optional
        Canonical name to column, where the names do not tell.

    Returns
    -------
    positions : Positions
        Every row.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is no table, or has no rows.
    ColumnError
        If it has no positions, or one is no number.
    """
    table = read_table(path)
    mapping = resolve_columns(table, columns, required=("ra", "dec"))
    count = len(next(iter(table.values())))
    if count == 0:
        raise FormatError(f"{path}", got="no rows", expected="at least one position")
    rows = assemble_catalog(table, mapping, first_row=0, count=count)
    told = {name: values for name, values in rows.items() if name in mapping or name in table or name == "pair_id"}
    return Positions(str(path), told)


def cut_catalog(positions, images, out, *, config, bands=None, psf=None, force=False, advance=None):
    """Cut a stamp at each position and write them as Parquet.

    Positions that no stamp can be cut at are written beside the output (`gen5astro.io.rejects.rejects_path`).

    Parameters
    ----------
    positions : Positions
        Where.
    images : sequence of path-like
        FITS coadds: one a band, or of several bands; of one field or of more.
    out : path-like
        Parquet file to write; it appears under its name once it is whole.
    config : gen5astro.config.CutoutConfig
        Size of the stamps, and what they may lack.
    bands : sequence of str, optional
        Bands to cut, in this order; by default all, blue to red.
    psf : path-like, optional
        FITS file with the PSF of each band; by default those that stand beside the coadds.
    force : bool
        Whether `out` may be replaced.
    advance : callable, optional
        Called with the number of rows done.

    Returns
    -------
    summary : dict
        Plain types: what was cut, and how.

    Raises
    ------
    FormatError
        If a coadd cannot be used.
    RejectedError
        If no stamp could be cut.
    """
    count, rows = len(positions), positions.columns
    planes = read_coadds(images, bands=bands)
    planes = {band: planes[band] for band in (order_bands(planes) if bands is None else bands)}
    scale = next(iter(planes.values()))[0].pixel_scale
    given = None if psf is None else list(read_psf(psf, tuple(planes), pixel_scale=scale))
    own_psf = given is not None or all(plane.psf is not None for each in planes.values() for plane in each)
    resampled, n_cut, rejects = set(), 0, []
    with CutoutWriter(out, tuple(planes), scale, column_notes=COLUMN_NOTES, force=force) as writer:
        for start in range(0, count, _BLOCK):
            numbers = range(start, min(start + _BLOCK, count))
            stamps, bad = _cut_rows(rows, numbers, planes, config)
            rejects += bad
            resampled |= {band for stamp in stamps.values() for band in stamp.resampled}
            n_cut += len(stamps)
            if stamps:
                part = {name: values[list(stamps)] for name, values in rows.items()}
                writer.write(_block(stamps, part, planes, scale, given, own_psf=own_psf))
            if advance is not None:
                advance(len(numbers))
        _check(positions, n_cut, rejects, out)
    return {
        "schema": CUTOUT_SCHEMA,
        "counts": {"read": count, "cut": n_cut, "rejected": len(rejects)},
        "input": {"catalog": positions.label, "images": [str(image) for image in images]},
        "bands": list(planes),
        "size": config.size,
        "pixel_scale": scale,
        "resampled": [band for band in planes if band in resampled],
        "psf": "image" if own_psf else ("fwhm" if all(f"psfsize_{band}" in rows for band in planes) else None),
        "out": str(out),
        "rejects": str(rejects_path(out)) if rejects else None,
    }


def _cut_rows(rows, numbers, planes, config):
    """Stamps by row number, and rejects for the rows that none could be cut for."""
    from astropy.coordinates import SkyCoord

    stamps, rejects = {}, []
    for row in numbers:
        ra, dec = float(rows["ra"][row]), float(rows["dec"][row])
        try:
            if not (np.isfinite(ra) and abs(dec) <= 90):
                raise UncutError("position", got=f"ra {ra:g}, dec {dec:g}", expected="degrees, ICRS")
            place = SkyCoord(ra, dec, unit="deg")
            stamps[row] = cut_stamp(planes, place, config.size, max_missing=config.max_missing_fraction)
        except UncutError as error:
            rejects.append(Reject(row, str(error)))
    return stamps, rejects


def _block(stamps, catalog, planes, scale, given, *, own_psf):
    """Stamps as a block to write."""
    found = list(stamps.values())
    told = {
        "cutout_x": np.array([stamp.center[0] for stamp in found]),
        "cutout_y": np.array([stamp.center[1] for stamp in found]),
        "cutout_image": np.array([Path(stamp.plane.label).name for stamp in found]),
        "cutout_wcs": np.array([stamp.wcs.to_header_string() for stamp in found]),
    }
    if any(plane.flagged is not None for each in planes.values() for plane in each):
        told["masked_fraction"] = np.array([stamp.masked_fraction for stamp in found])
    psf = None
    if own_psf:
        psf = stacked_psf(found) if given is None else np.stack([np.stack(given)] * len(found)).astype(np.float32)
    return CutoutBlock(
        image=np.stack([stamp.pixels for stamp in found]),
        catalog=catalog | told,
        row=np.array(list(stamps)),
        digest=np.zeros((len(found), 1), np.uint64),
        census=np.zeros((len(found), 1, len(planes), 4)),
        bands=tuple(planes),
        pixel_scale=scale,
        psf=psf,
    )


def _check(positions, n_cut, rejects, out):
    """Make sure that no row vanished, and write down those that were rejected."""
    keep_rejects(rejects, rejects_path(out), source=positions)
    catalog, count = positions.label, len(positions)
    if count != n_cut + len(rejects):
        raise RuntimeError(f"{catalog}: {count} rows in, but {n_cut} cut and {len(rejects)} rejected")
    if n_cut == 0:
        first = f" (row {rejects[0].row}: {rejects[0].reason})" if rejects else ""
        raise RejectedError(
            f"catalog {catalog}",
            got=f"none of {count:,} rows that a stamp can be cut for{first}",
            expected="positions on the images",
            remedy="check --column ra=NAME and --column dec=NAME, and that the images are of this field",
        )
