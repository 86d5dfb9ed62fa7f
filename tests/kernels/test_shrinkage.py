"""How much of a term is believed."""

import numpy as np
import pytest

from gen5astro.kernels.residual import TERMS
from gen5astro.kernels.shrinkage import WING_TERMS, shrink_terms


def test_every_term_has_its_wings():
    assert len(WING_TERMS) == len(TERMS)


def test_a_sure_term_is_kept_and_an_unsure_one_is_not():
    terms, errors = np.full((1, 7), 1.0), np.zeros((1, 7))
    errors[0, 1], errors[0, 2] = 2.0, 0.5
    shrunk = shrink_terms(terms, errors, np.array([0.01]))
    assert shrunk[0, 1] == 0
    assert shrunk[0, 2] == pytest.approx(0.75 - WING_TERMS[2] ** 2)
    assert shrunk[0, 0] == pytest.approx(1 - (0.01 * WING_TERMS[0]) ** 2, rel=1e-12)


def test_wings_of_a_flux_scale_with_the_sky_s_noise():
    terms = np.zeros((2, 7))
    terms[:, 0] = terms[:, 3] = 0.0015
    shrunk = shrink_terms(terms, np.zeros((2, 7)), np.array([1.0, 0.01]))
    assert shrunk[0, 0] == 0
    assert shrunk[1, 0] > 0.0014
    assert (shrunk[:, 3] == 0).all()


def test_the_sign_is_kept_and_nothing_is_made_of_nan():
    terms = np.array([[-1.0, np.nan, 0.0, 1.0, 1.0, 1.0, 1.0]])
    shrunk = shrink_terms(terms, np.zeros((1, 7)), np.array([1.0]))[0]
    assert shrunk[0] == pytest.approx(-1, abs=1e-4)
    assert np.isnan(shrunk[1])
    assert shrunk[2] == 0
