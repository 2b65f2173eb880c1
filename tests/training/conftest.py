"""Rows that the tests of early stopping share."""

import numpy as np
import pytest

from helpers.validation import N_TRAINED


@pytest.fixture
def rows(problem):
    """Rows to train on and rows to validate on, few and noisy, so that a net overfits."""

    def make(n_outputs=1, dtype=np.float64, positive=False):
        X, y = problem(n_samples=70, n_outputs=n_outputs, dtype=dtype, positive=positive)
        if not positive:
            noise = np.sin(7 * np.arange(y.size)).reshape(y.shape)
            y = (y + noise).astype(dtype)
        validation = {"X_val": X[N_TRAINED:], "y_val": y[N_TRAINED:]}
        return X[:N_TRAINED], y[:N_TRAINED], validation

    return make
