"""What a source says of how it read its input: names that were matched, columns that are absent, what was assumed."""

__all__ = ["bands_note", "column_notes", "scale_note"]

_SHOWN = 8


def column_notes(mapping, *, wanted, extra, ignored=()):
    """Say which columns were found under other names, which are absent, and what became of the others.

    Parameters
    ----------
    mapping : dict of str to str
        Canonical name to column.
    wanted : iterable of str
        Canonical names whose absence costs something.
    extra : iterable of str
        Columns that ride along under their own names.
    ignored : iterable of str
        Columns that are not read.

    Returns
    -------
    notes : tuple of str
        At most two lines.
    """
    renamed = [f"{canonical} = {name!r}" for canonical, name in mapping.items() if name != canonical]
    absent = [canonical for canonical in wanted if canonical not in mapping]
    parts = [
        f"absent: {', '.join(absent)} (say which with --column {absent[0]}=NAME)" if absent else "",
        f"carried along: {_some(extra)}" if extra else "",
        f"not read: {_some(ignored)}" if ignored else "",
    ]
    lines = (f"columns under other names: {', '.join(renamed)}" if renamed else "", "; ".join(filter(None, parts)))
    return tuple(f"{line[0].upper()}{line[1:]}" for line in lines if line)


def _some(names):
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def bands_note(bands):
    """Say that the names of the bands were assumed.

    Parameters
    ----------
    bands : sequence of str
        Names that are used, in the order of the planes.

    Returns
    -------
    notes : tuple of str
        One line.
    """
    return (f"Bands {','.join(bands)} assumed where images name none; say which the planes are with --bands",)


def scale_note(pixel_scale):
    """Say that the pixel scale was assumed.

    Parameters
    ----------
    pixel_scale : float
        Pixel scale that is used [arcsec / pix].

    Returns
    -------
    notes : tuple of str
        One line.
    """
    return (f"Pixel scale of {pixel_scale:g} arcsec assumed: the input states none; say which with --pixel-scale",)
