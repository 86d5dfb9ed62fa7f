"""With stamp and ctrl side by side a network may subtract, and whatever the injection left is in plain sight.

The view is allowed only where `core_leakage` passes in the ``paired`` view. Where the ctrl is the very image that the
arc was added to, the pair's core differs by the arc's wings alone and names the stamp with an AUC of 1.00 without any
fault: nothing then remains in which a fault could show, and the view stays BLOCKED, since what could not be judged is
not passed. Beside that, no ctrl exists at inference. The gate is advisory: it speaks of this training option alone and
leaves the audit's status as it is. **When it blocks**, train with the view ``single`` and ctrl as hard negatives.
"""

from dataclasses import replace

from gen5astro.gates import Gate
from gen5astro.verdict import Finding, Status


def _findings(_table, context):
    paired = [
        finding
        for finding in context.results["core_leakage"].findings
        if finding.view == "paired" and finding.name == "unexplained_auc" and finding.stratum == "all"
    ]
    if not paired:
        yield Finding("paired_unexplained_auc", None, Status.ERROR, note="core_leakage has no paired view")
        return
    for finding in paired:
        allowed = finding.status is Status.PASS
        note = "six channels may be used" if allowed else finding.note
        yield replace(
            finding,
            name="paired_unexplained_auc",
            view=None,
            status=Status.PASS if allowed else Status.FAIL,
            note=note,
        )


GATE = Gate(
    question="May stamp and ctrl be shown side by side?",
    reads=(),
    limits={},
    findings=_findings,
    order=13,
    requires=frozenset({"core_leakage"}),
    advisory=True,
)
