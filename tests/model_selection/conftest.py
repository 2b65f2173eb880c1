"""What the tests of searches share."""

import pytest

import fastbp.model_selection.fit_many
import fastbp.training.fit


@pytest.fixture
def count(monkeypatch):
    """Count trainings: side by side, and one at a time."""
    counts = {"together": 0, "alone": 0}
    original = fastbp.training.fit.fit_starts

    def counted(name):
        def fit_starts(task, clock, n_jobs):
            counts[name] += 1
            return original(task, clock, n_jobs)

        return fit_starts

    monkeypatch.setattr(fastbp.model_selection.fit_many, "fit_starts", counted("together"))
    monkeypatch.setattr(fastbp.training.fit, "fit_starts", counted("alone"))
    return counts
