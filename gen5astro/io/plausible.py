"""What a value can be at all: positions on the sky, Einstein radii, pixel scales."""

import numpy as np

from gen5astro.errors import FormatError

__all__ = ["check_pixel_scale", "impossible_values", "wrap_ra"]

#: Widest range of pixel scales of cameras that see lenses [arcsec / pix].
_PIXEL_SCALES = (0.01, 10.0)
#: Longest side of an image of one galaxy [arcsec].
_LONGEST_SIDE = 600.0


def wrap_ra(ra):
    """Bring right ascensions that count from -180 to 180 degrees to the range from 0 to 360.

    Parameters
    ----------
    ra : float64 array, (n,)
        Right ascension [deg].

    Returns
    -------
    ra : float64 array, (n,)
        What was from -180 to 360 is from 0 to 360; all else is as it was.
    """
    return np.where((ra >= -180.0) & (ra < 0.0) | (ra == 360.0), ra % 360.0, ra)


def impossible_values(catalog, *, largest_theta_e_arcsec=None):
    """Find rows whose position or Einstein radius cannot be what its column says.

    Parameters
    ----------
    catalog : dict of array, (n,)
        From `gen5astro.io.catalog.assemble_catalog`; ``ra``, ``dec`` [deg] and ``theta_e_arcsec`` are looked at.
    largest_theta_e_arcsec : float, optional
        Einstein radius above which no arc would be in the image [arcsec]; by default any is possible.

    Returns
    -------
    reasons : dict of int to str
        Of each such row why, by its place in the columns. A missing value is no impossible one.
    """
    limits = {"ra": (0.0, 360.0, "-180 to 360 degrees"), "dec": (-90.0, 90.0, "-90 to 90 degrees")}
    if largest_theta_e_arcsec is not None:
        expected = f"at most {largest_theta_e_arcsec:.4g} arcsec, the image's diagonal"
        limits["theta_e_arcsec"] = 0.0, largest_theta_e_arcsec, expected
    reasons = {}
    for name, (low, high, expected) in limits.items():
        values = catalog.get(name, np.empty(0))
        for at in np.flatnonzero(~((values >= low) & (values <= high)) & ~np.isnan(values)).tolist():
            reasons.setdefault(at, str(FormatError(name, got=f"{values[at]:g}", expected=f"{expected}, or no value")))
    return reasons


def check_pixel_scale(label, pixel_scale, shape):
    """Refuse a pixel scale that is in another unit, before anything is measured with it.

    Parameters
    ----------
    label : str
        What to call the input in messages.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    shape : tuple of int
        ``(y, x)`` of an image.

    Raises
    ------
    FormatError
        If it is none of a camera, or images would be wider than one of a galaxy is.
    """
    low, high = _PIXEL_SCALES
    side = max(shape) * pixel_scale
    if low <= pixel_scale <= high and side <= _LONGEST_SIDE:
        return
    raise FormatError(
        f"pixel scale of {label}",
        got=f"{pixel_scale:g} arcsec a pixel, {side:g} arcsec for a side of {max(shape)} pixels",
        expected=f"{low:g} to {min(high, _LONGEST_SIDE / max(shape)):.3g}",
        remedy="give --pixel-scale in arcsec: milliarcsec / 1000, degrees x 3600",
    )
