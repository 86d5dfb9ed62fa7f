"""Write a cube as what other programs read: Parquet, Arrow, or FITS, by the ending of the file's name.

Every form has the pixels of both images as they are in the cube, in nanomaggies, and the whole catalog with the columns
``row`` (of the cube's input), ``group`` and ``region_split``.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from gen5astro.engine import map_blocks
from gen5astro.errors import ExistsError, FormatError
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.parquet import PairWriter

__all__ = ["FORMATS", "export_cube"]

_BLOCK = 256


def export_cube(cube, out, *, threads=None, force=False, advance=None):
    """Export a cube.

    Parameters
    ----------
    cube : path-like or Cube
        The cube.
    out : path-like
        ``.parquet`` (images as npz bytes, as `gen5astro inject` writes and every verb reads), ``.arrow`` (an IPC file,
        images as fixed-shape tensors), or ``.fits`` (images of four axes ``STAMP`` and ``CTRL``, and the table
        ``CATALOG``).
    threads : int, optional
        Blocks read at once; does not change the result.
    force : bool
        Whether `out` may be replaced.
    advance : callable, optional
        Called with the number of pairs done.

    Returns
    -------
    summary : dict
        ``path``, ``format``, ``pairs`` and ``bytes``.

    Raises
    ------
    FormatError
        If the ending is another one, or a pair of the cube is damaged.
    ExistsError
        If `out` is there and `force` is not given.
    """
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise FormatError(f"output {out}", got=f"ending {out.suffix!r}", expected=" or ".join(FORMATS))
    if out.exists() and not force:
        raise ExistsError(f"output {out}", got="a file that is there", remedy="choose another --out, or pass --force")
    source = CubeSource(cube)
    part = out.with_name(f"{out.stem}.part{out.suffix}")
    try:
        FORMATS[out.suffix.lower()](source, part, _blocks(source, threads, advance))
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return {
        "path": str(out),
        "format": out.suffix.lower().removeprefix("."),
        "pairs": len(source.cube),
        "bytes": out.stat().st_size,
    }


def _blocks(source, threads, advance):
    """Blocks of intact pairs, with all columns; a damaged pair ends the export, for whoever reads it cannot know."""
    for start, (block, damaged) in zip(
        range(0, source.n_rows, _BLOCK), map_blocks(source.read, source.blocks(_BLOCK), threads=threads), strict=True
    ):
        if damaged:
            got = f"row {damaged[0].row}: {damaged[0].reason}"
            raise FormatError(f"cube {source.label}", got=got, remedy="see gen5astro verify, and build it again")
        group = source.cube.group[start : start + len(block)]
        yield replace(block, catalog=block.catalog | {"row": block.row, "group": group})
        if advance is not None:
            advance(len(block))


def _write_parquet(source, path, blocks):
    with PairWriter(path, source.bands, source.pixel_scale, force=True) as writer:
        for block in blocks:
            writer.write(block)


def _write_arrow(source, path, blocks):
    import pyarrow as pa

    image = pa.fixed_shape_tensor(pa.float32(), (len(source.bands), *source.shape), dim_names=["band", "y", "x"])
    metadata = {"bands": ",".join(source.bands), "pixel_scale_arcsec": repr(source.pixel_scale), "unit": "nmgy"}
    writer = None
    try:
        for block in blocks:
            arrays = {name: pa.array(values) for name, values in block.catalog.items()}
            for name in ("stamp", "ctrl"):
                arrays[name] = pa.ExtensionArray.from_storage(image, _tensor_storage(getattr(block, name)))
            if writer is None:
                schema = pa.schema([(name, each.type) for name, each in arrays.items()], metadata)
                writer = pa.ipc.new_file(path, schema)
            writer.write_batch(pa.record_batch(list(arrays.values()), schema=schema))
    finally:
        if writer is not None:
            writer.close()


def _tensor_storage(images):
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), int(np.prod(images.shape[1:])))


def _write_fits(source, path, blocks):
    """Stream one image after the other: the second runs through the cube once more."""
    from astropy.io import fits
    from astropy.table import Table

    shape = (len(source.cube), len(source.bands), *source.shape)
    columns = []
    path.unlink(missing_ok=True)
    for name in ("stamp", "ctrl"):
        header = fits.PrimaryHDU().header if name == "stamp" else fits.ImageHDU().header
        header["BITPIX"], header["NAXIS"] = -32, len(shape)
        for axis, size in enumerate(reversed(shape), start=1):
            header.set(f"NAXIS{axis}", size, after="NAXIS" if axis == 1 else f"NAXIS{axis - 1}")
        header["EXTNAME"], header["BUNIT"] = name.upper(), "nanomaggy"
        header["BANDS"], header["PIXSCALE"] = ",".join(source.bands), source.pixel_scale
        with _Streaming(fits, path, header) as stream:
            for block in blocks if name == "stamp" else _blocks(source, 1, None):
                stream.write(getattr(block, name).astype(">f4"))
                if name == "stamp":
                    columns.append(block.catalog)
    table = Table({name: np.concatenate([each[name] for each in columns]) for name in columns[0]})
    table.meta["EXTNAME"] = "CATALOG"
    fits.append(path, fits.table_to_hdu(table).data, fits.table_to_hdu(table).header)


class _Streaming:
    """astropy's StreamingHDU as a context."""

    def __init__(self, fits, path, header):
        self._stream = fits.StreamingHDU(str(path), header)

    def __enter__(self):
        return self._stream

    def __exit__(self, *_):
        self._stream.close()


#: How each ending is written.
FORMATS = {".parquet": _write_parquet, ".arrow": _write_arrow, ".fits": _write_fits}
