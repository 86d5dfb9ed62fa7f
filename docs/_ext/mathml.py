"""Formulas as MathML, which browsers render by themselves: no script, no network, no LaTeX."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def to_mathml(node, **options):
    """Convert a formula; in TeX a digit after a command is a group by itself, docutils takes all that follow."""
    braced = re.sub(r"\\([dt]?frac)(\d)(\d)", r"\\\1{\2}{\3}", node.astext())
    return tex2mathml(braced, **options)


def visit_math(translator, node):
    """Write an inline formula."""
    translator.body.append(to_mathml(node))
    raise nodes.SkipNode


def visit_displaymath(translator, node):
    """Write a formula that stands by itself."""
    translator.body.append(f'<div style="margin: 1em 0; overflow-x: auto">{to_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True}
