"""Medians by counting are NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gen5astro.kernels.median import single_median

values = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float64, st.integers(1, 200), elements=values))
def test_single_precision_values_have_numpys_median(sample):
    assert single_median(sample) == np.median(sample.astype(np.float32))


@pytest.mark.parametrize("size", [16, 17, 40, 633, 4096])
@pytest.mark.parametrize("seed", range(8))
def test_no_distribution_is_too_odd(size, seed):
    rng = np.random.default_rng(seed)
    wide = rng.choice([-1, 1], size) * 10 ** rng.uniform(-37, 38, size)
    two = rng.choice([-1.5e38, 1.5e38], size)
    outliers = np.where(rng.random(size) < 0.45, 1.5e38, rng.normal(size=size))
    few = rng.integers(0, 4, size).astype(float)
    period = np.where(np.arange(size) % 17 == 0, 1e3, rng.normal(size=size))
    for sample in (wide, np.sort(wide), two, outliers, -outliers, few, np.repeat(few, 2), period):
        assert single_median(sample) == np.median(sample.astype(np.float32))


@pytest.mark.parametrize("sample", [[], [1.0, np.nan, 2.0], [np.inf, 0.0]])
def test_no_finite_sample_has_no_median(sample):
    assert np.isnan(single_median(np.array(sample, dtype=np.float64)))
