"""The shortcut watch: what a network under training does where it should do next to nothing.

Validation pairs are changed in ways that leave every arc an arc and every galaxy without one, and the logits before and
after are compared, in units of what separates a stamp from its ctrl:

=============== ================================================================== =============================
probe           what is done                                                       what answers to it
=============== ================================================================== =============================
brightness x1.1 pixels above `_SOURCE` sky sigma are made a tenth brighter         a network that weighs light
pedestal        one sky sigma is added to each pixel of each band                  one that reads the background
core swap       the core of the stamp is replaced by that of its ctrl              one that reads the core
faint swap      the stamp gets all of its ctrl but what stands out                 one that reads a background
=============== ================================================================== =============================

What stands out is where stamp and ctrl, less the median of their difference, are `_FAINT` sky sigma or more apart: most
of an arc, and nothing of a background that came with it. The first two probes say how easily a network is misled, the
swaps what it has come to read: they take from a stamp what an arc does not need.

The stored statistics are kept throughout. Taken anew, those of kind ``sky`` would remove a pedestal before any network
saw it; what is probed is a background that was measured wrong.
"""

import copy
from dataclasses import replace

import numpy as np

from gen5astro.kernels.normalize import core_pixels, normalize
from gen5astro.training.score import score_images
from gen5astro.verdict import Status

__all__ = ["mean_over_hosts", "watch_shortcuts"]

_GAIN, _SOURCE, _PEDESTAL, _FAINT = 1.1, 3.0, 1.0, 1.0
"""Factor; lowest pixel that counts as light, not noise; what is added; difference that stands out [sky sigma]."""

_TOLERANCE = {"brightness x1.1": 0.2, "pedestal": 0.5, "core swap": 0.5, "faint swap": 0.5}
"""Tolerated shift, as a share of the separation.

Brightness: a network whose logit is linear in the arc's flux answers with a tenth of the separation on stamps and
nothing on ctrls; twice a tenth on both is more than arcs can make. Pedestal: no image in training has one, and networks
without any shortcut answer with some tenths; half of the separation is where a typical image reaches the border. Core
swap: the PSF brings some of an arc's light into the core, and small rings lie in it; where the core makes more than
half of the separation, it is what is read.
"""


def watch_shortcuts(model, reader, cube, rows, *, batch_size, device="cpu"):
    """Try what a network answers to.

    Parameters
    ----------
    model : torch.nn.Module
        Put into evaluation mode.
    reader : PairReader
        Where the inputs come from; its view decides what can be tried.
    cube : Cube
        The cube that it reads.
    rows : int64 array, (n,)
        Rows of the cube: validation pairs.
    batch_size : int
        Images at a time.
    device : torch.device or str
        Where the model is.

    Returns
    -------
    probes : list of dict
        A probe each, plain types. ``name``. ``shift``: mean change of the logit, over both members of a pair (core
        swap: over stamps). ``interval``: its 95 % interval over hosts. ``scale``: mean logit of a stamp less its
        ctrl's. ``share``: shift / scale, None unless stamps score above ctrls. ``tolerance``: the share that is
        tolerated. ``n_pairs``, ``n_hosts``. ``status``: PASS where the shift is certainly within the tolerance, FAIL
        where it is certainly beyond, INSUFFICIENT where neither is certain or nothing separates stamps from ctrls yet,
        SKIP where a probe says nothing of this view or normalizer, ERROR where a logit is not finite. ``flagged``:
        whether it is FAIL. ``note``: why, where it is neither PASS nor FAIL, else empty.
    """
    why_not = _why_not(reader)
    names = [name for name in _TOLERANCE if not why_not.get(name)]
    logits = _score_probes(model, reader, cube, rows, names, batch_size=batch_size, device=device)
    stamp, ctrl = logits["as it is"].T
    groups = cube.group[rows]
    found = []
    for name, tolerance in _TOLERANCE.items():
        record = {"name": name, "shift": None, "interval": None, "scale": None, "share": None, "tolerance": tolerance}
        record.update(n_pairs=len(rows), n_hosts=len(np.unique(groups)), status=Status.SKIP, note=why_not.get(name, ""))
        if name in names:
            change = logits[name] - logits["as it is"]
            # Only a fall says that what was taken was read.
            change, signs = (change[:, 0], (-1,)) if name.endswith("swap") else (change.mean(axis=1), (-1, 1))
            record.update(_judge(change, stamp - ctrl, groups, tolerance, signs))
        record.update(status=str(record["status"]), flagged=record["status"] is Status.FAIL)
        found.append(record)
    return found


def _why_not(reader):
    """Reasons why a probe cannot be tried, by its name."""
    names = ("brightness x1.1", "pedestal", "faint swap")
    if reader.view.name == "residual":
        return dict.fromkeys(names, "a difference of two images has nothing of the kind")
    if reader.spec.kind != "sky":
        return dict.fromkeys(names, f"the scale of kind {reader.spec.kind!r} is not the sky's sigma")
    return {}


def _score_probes(model, reader, cube, rows, names, *, batch_size, device):
    """Logits of stamp and ctrl, by the name of the probe: (n, 2) each."""
    linear = copy.copy(reader)
    linear.spec = replace(reader.spec, stretch="none", clip=None)
    logits = {name: np.empty((len(rows), 2)) for name in ("as it is", *names)}
    step = max(1, batch_size // 2)
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        row = rows[block]
        both = linear.read(np.tile(row, 2), np.repeat([1, 0], len(row)))
        for name, scores in logits.items():
            images = _changed(name, both, cube, row, reader)
            unit = np.broadcast_to([0.0, 1.0], (*images.shape[:2], 2))
            found = score_images(model, normalize(images, unit, reader.spec), device=device)
            scores[block] = found.reshape(2, -1).T
    return logits


def _changed(name, both, cube, row, reader):
    """Change inputs, in units of the scale: those of the stamps, then those of their ctrls."""
    if name == "brightness x1.1":
        return np.where(both > _SOURCE, np.float32(_GAIN) * both, both)
    if name == "pedestal":
        return both + np.float32(_PEDESTAL)
    return _swapped(name, both, cube, row, reader) if name.endswith("swap") else both


def _swapped(name, both, cube, row, reader):
    """Put a part of the ctrl into the stamp, by the statistics of where it comes to lie; the ctrls stay as they are.

    In the paired view the two of an input exchange that part: a network that reads it alone then takes stamp for ctrl,
    as it does elsewhere.
    """
    stamp, ctrl = np.split(both[:, : len(cube.bands)], 2)
    statistics = [cube.normalizer_statistics[member][row][..., None, None] for member in ("stamp", "ctrl")]
    if reader.view.name == "residual":
        statistics[0] = statistics[1]
    more = stamp - _rescaled(ctrl, *statistics[::-1])
    if name == "core swap":
        moved = np.where(core_pixels(both.shape, reader.spec.core_radius_arcsec / cube.pixel_scale), more, 0)
    else:
        level = np.median(more, axis=(-2, -1), keepdims=True)
        moved = np.where(np.abs(more - level) < _FAINT, more, level)
    swapped = both.copy()
    swapped[: len(row), : len(cube.bands)] -= moved
    if reader.view.images == 2:
        own, other = (each[:, :, 1] for each in statistics)
        swapped[: len(row), len(cube.bands) :] += moved * own / other
    return swapped


def _rescaled(images, own, other):
    """Turn units of one image's statistics into those of another."""
    return (images * own[:, :, 1] + own[:, :, 0] - other[:, :, 0]) / other[:, :, 1]


def _judge(change, separation, groups, tolerance, signs):
    """Say how large a change is and whether that is tolerable."""
    if not len(change):
        return {"status": Status.INSUFFICIENT, "note": "no pairs"}
    if not (np.isfinite(change).all() and np.isfinite(separation).all()):
        return {"status": Status.ERROR, "note": "a logit that is not finite"}
    (shift, ends), (scale, scale_ends) = mean_over_hosts(change, groups), mean_over_hosts(separation, groups)
    record = {"shift": shift, "interval": ends, "scale": scale, "status": Status.INSUFFICIENT}
    if ends is None:
        return {**record, "note": "one host alone has no interval"}
    if scale_ends[0] <= 0:
        return {**record, "note": "stamps do not score above their ctrls yet"}
    beyond = [mean_over_hosts(sign * change - tolerance * separation, groups)[1] for sign in signs]
    record["share"] = shift / scale
    if any(low > 0 for low, _ in beyond):
        return {**record, "status": Status.FAIL}
    if all(high < 0 for _, high in beyond):
        return {**record, "status": Status.PASS}
    return {**record, "note": "too few hosts to tell whether the shift is tolerable"}


def mean_over_hosts(values, groups):
    """Mean over pairs, with an interval that knows that pairs on one host are not independent.

    The variance is the cluster-robust one (Liang & Zeger 1986, Biometrika 73, 13), ``G / (G - 1) sum_g r_g^2 / n^2``
    with ``r_g`` the sum of a host's residuals; the quantile is Student's of ``G - 1`` degrees of freedom (Cameron &
    Miller 2015, J. Hum. Resour. 50, 317, section VI), which is honest about few hosts where a bootstrap is not.

    Parameters
    ----------
    values : float64 array, (n,)
        One a pair, finite.
    groups : int64 array, (n,)
        Host, or group of hosts, of each.

    Returns
    -------
    mean : float
        Over pairs.
    interval : list of float, or None
        Ends of the 95 % interval; None where there is one host alone.
    """
    from scipy.stats import t

    mean = float(np.mean(values))
    _, host = np.unique(groups, return_inverse=True)
    n_hosts = int(host.max()) + 1
    if n_hosts < 2:
        return mean, None
    residual = np.bincount(host, values - mean)
    error = np.sqrt(n_hosts / (n_hosts - 1) * np.sum(residual**2)) / len(values)
    half = float(t.ppf(0.975, n_hosts - 1) * error)
    return mean, [mean - half, mean + half]
