"""One page of each kind, as files."""

from gen5astro.io.pairs import Reject
from gen5astro.report.baseline import with_baseline
from gen5astro.report.html import (
    write_audit_page,
    write_demo_page,
    write_evaluation_page,
    write_selftest_page,
    write_training_page,
)
from tests.report.records import (
    make_audit,
    make_demo,
    make_evaluation,
    make_explanation,
    make_selftest,
    make_training,
    make_worst,
)


def _audit(path):
    rejects = [Reject(row, "broken zip") for row in range(25)]
    write_audit_page(make_audit(excess=0.14), make_worst(2, pedestal=0.0025), path, rejects=rejects)


def _evaluation(path):
    record = make_evaluation()
    write_evaluation_page(record, path, images={record["candidates"][0]["name"]: make_worst(1)[0]["stamp"]})


def _mended(path):
    record = with_baseline(make_audit(), make_audit(excess=0.14, label="faulty.parquet"))
    record["worst_pairs"] = [{"row": 3, "pair_id": "pair-3", "theta_e_arcsec": 1.2, "reason": "3 % too much"}]
    write_audit_page(record, [], path, why="pairs.parquet: got no such file")


def _explained(path):
    write_audit_page(make_audit() | {"explanation": make_explanation(share=0.6, profiles=True)}, make_worst(1), path)


PAGES = {
    "audit": _audit,
    "mended": _mended,
    "explained": _explained,
    "evaluation": _evaluation,
    "training": lambda path: write_training_page(make_training(), path),
    "selftest": lambda path: write_selftest_page(make_selftest(missed=("pedestal",), together=True), path),
    "demo": lambda path: write_demo_page(make_demo(), path),
}
