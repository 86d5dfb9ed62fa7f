"""What a network sees of a pair, and which views a cube's audit allows.

======== ================================= ================================= ===============================
view     positive (label 1)                negative (label 0)                where it can be used
======== ================================= ================================= ===============================
single   stamp                             ctrl                              on any image of the sky
paired   stamp, then ctrl (side by side)   ctrl, then stamp                  only where the ctrl is known
residual stamp less ctrl, under noise      ctrl less ctrl, under noise       only where the ctrl is known
======== ================================= ================================= ===============================

In the paired view the label is the *order*: which of the two images holds the arc. The alternative, (ctrl, ctrl) as
the negative, is told from (stamp, ctrl) by whether the halves are equal to the last bit, and teaches nothing about
arcs. The audit judges the same ordered pair, so that its verdict on the paired view speaks of what is trained here.

In the residual view, stamp less ctrl is the arc alone, without noise, and ctrl less ctrl is zero to the last bit:
whether anything is there would tell them apart. So both get the noise that a difference of two exposures has, Gaussian
of sqrt(2) times the sky's sigma in each pixel, and the same noise for both members of a pair.
"""

import math
from dataclasses import dataclass

from gen5astro.errors import BlockedError, ConfigError
from gen5astro.verdict import Status, what_it_means

__all__ = ["VIEWS", "View", "check_view"]


@dataclass(frozen=True)
class View:
    """A way to show pairs to a network.

    Parameters
    ----------
    name : str
        As in the config.
    images : int
        Images side by side in one input: the label's own (stamp for 1, ctrl for 0), then the other.
    deployable : bool
        Whether an image of the sky, which has no ctrl, can be shown in this view.
    scatter : float
        Scatter of the empty sky in an input before its stretch, in units of the stored scale of kind ``sky``.
    """

    name: str
    images: int
    deployable: bool
    scatter: float = 1.0

    def channels(self, bands):
        """Count the planes of an input.

        Parameters
        ----------
        bands : sequence of str
            Bands of an image.

        Returns
        -------
        channels : int
            Planes, image by image, each in the order of the bands.
        """
        return self.images * len(bands)


VIEWS = {
    "single": View("single", 1, True),
    "paired": View("paired", 2, False),
    "residual": View("residual", 1, False, math.sqrt(2)),
}


def check_view(view, audit, *, label, override_gate=None):
    """Refuse a view that the cube's audit does not allow, and say what to be wary of otherwise.

    Fail closed: for the paired view, a cube without an audit is refused as one with a failing gate is.

    Parameters
    ----------
    view : View
        What the network is to see.
    audit : dict or None
        The audit's record that the cube carries.
    label : str
        What to call the cube in messages.
    override_gate : str, optional
        Reason to train in spite of the gate; it comes back as a warning, to be recorded.

    Returns
    -------
    warnings : list of str
        Sentences for the user and the checkpoint.

    Raises
    ------
    BlockedError
        If the view is ``paired`` and the gate ``six_channel_viability`` does not pass.
    ConfigError
        If there is a reason to override where nothing is blocked.
    """
    warnings = _audit_warnings(audit, label)
    if not view.deployable:
        warnings.append(f"view {view.name!r} needs a ctrl, which no image of the sky has: predict refuses the network")
    gate = (audit or {}).get("gates", {}).get("six_channel_viability", {})
    status = gate.get("status", "no verdict")
    if view.name != "paired" or status == Status.PASS:
        if override_gate:
            got = f"view {view.name!r} on {label}, which no gate blocks"
            raise ConfigError(f"--override-gate {override_gate!r}", got=got, remedy="leave it out")
        return warnings
    # As the audit's own tables put it: the gate is advisory, and forbids this option alone.
    status = "BLOCKED" if status == Status.FAIL else status
    why = (
        gate.get("note")
        or "stamp and ctrl may be shown side by side only if the audit says that the core alone cannot tell them"
    )
    if override_gate:
        return [*warnings, f"paired view trained in spite of six_channel_viability {status} ({why}): {override_gate}"]
    remedy = f"{why}; train with --set view=single"
    if audit is None:
        remedy += ", or audit the pairs and build the cube with --audit"
    remedy += ", or give a reason to train in spite of it with --override-gate REASON"
    raise BlockedError(
        f"view 'paired' on {label}", got=f"six_channel_viability {status}", expected="PASS", remedy=remedy
    )


def _audit_warnings(audit, label):
    if audit is None:
        return [f"{label} carries no audit: whether its injection leaves a shortcut is unknown"]
    if audit.get("status") == Status.PASS:
        return []
    failed = [
        name
        for name, gate in audit.get("gates", {}).items()
        if gate.get("status") not in (Status.PASS, Status.SKIP) and not gate.get("advisory")
    ]
    which = f" ({', '.join(failed)})" if failed else ""
    status = audit.get("status")
    return [f"{label} carries an audit that says {status}{which}: {what_it_means(status)}"]
