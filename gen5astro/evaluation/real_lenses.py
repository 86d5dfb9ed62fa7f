"""Real lens candidates, scored as a survey image would be: from one image alone, as the network was trained.

Three candidates prove nothing statistically, and none is a confirmed lens. They show whether a network that was trained
on injections does anything sensible on the sky: where they rank among galaxies without an arc.
"""

import numpy as np

from gen5astro.training.checkpoint import PIXEL_SCALE_TOLERANCE
from gen5astro.training.score import center_crop, score_images, sky_inputs

__all__ = ["CAVEAT", "score_candidates"]

CAVEAT = (
    "Three candidates, none of them confirmed, prove nothing statistically, and they are of another survey, depth and "
    "seeing than the hosts of a cube need be: read their rank as a sign, not as a recall."
)


def score_candidates(candidates, model, view, spec, *, bands, shape, pixel_scale, ctrl_scores, device="cpu"):
    """Score real candidates and rank them among the ctrls of the test hosts.

    Parameters
    ----------
    candidates : list of gen5astro.sample.candidates.Candidate
        The images; of the cube's size or larger.
    model : torch.nn.Module
        The network.
    view : View
        What it sees; only a deployable view can be shown a candidate.
    spec : NormalizerSpec
        How its inputs are normalized.
    bands : sequence of str
        Bands, in the network's order.
    shape : tuple of int
        ``(y, x)`` that it takes.
    pixel_scale : float
        Its pixel scale [arcsec / pix]; a candidate's may differ by 1 %, and is not resampled.
    ctrl_scores : float64 array, (n,)
        Scores of the test hosts' ctrls.
    device : torch.device or str
        Where the model is.

    Returns
    -------
    rows : list of dict
        ``name``, ``ra``, ``dec``, ``tier``, ``score`` and ``percentile_among_ctrl`` (share of ctrls that score below, a
        tie counting one half, in percent), both None with a ``note`` where the candidate cannot be scored.
    """
    rows = []
    for each in candidates:
        row = {"name": each.name, "ra": each.ra, "dec": each.dec, "tier": each.tier}
        note = _why_not(each, view, bands, shape, pixel_scale)
        score = percentile = None
        if note is None:
            planes = np.stack([each.pixels[each.bands.index(band)] for band in bands])
            inputs = sky_inputs(center_crop(planes, shape)[None], spec, pixel_scale)
            score = float(score_images(model, inputs, device=device)[0])
            percentile = 100 * float(np.mean(ctrl_scores < score) + 0.5 * np.mean(ctrl_scores == score))
        rows.append({**row, "score": score, "percentile_among_ctrl": percentile, "note": note})
    return rows


def _why_not(candidate, view, bands, shape, pixel_scale):
    if not view.deployable:
        return f"view {view.name!r} needs a ctrl, which no image of the sky has"
    missing = [band for band in bands if band not in candidate.bands]
    if missing:
        return f"no band {', '.join(missing)}"
    if min(np.subtract(candidate.pixels.shape[1:], shape)) < 0:
        return f"{candidate.pixels.shape[1]} x {candidate.pixels.shape[2]} pix, smaller than the cube's images"
    if abs(candidate.pixel_scale / pixel_scale - 1) > PIXEL_SCALE_TOLERANCE:
        return f"pixel scale {candidate.pixel_scale:g} against {pixel_scale:g} arcsec"
    return None
