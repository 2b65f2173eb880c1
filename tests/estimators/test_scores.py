"""Scores of plain arrays are scikit-learn's, to the bit, and so are all others."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, r2_score

from fastbp.estimators.scores import label_accuracy, r2

KINDS = [("float64", "float64"), ("float32", "float32"), ("float64", "float32")]


@pytest.mark.parametrize(("of_y", "of_prediction"), KINDS)
@pytest.mark.parametrize("n", [3, 7, 89, 1000, 20_001])
def test_r2_is_that_of_scikit_learn_to_the_bit(n, of_y, of_prediction):
    rng = np.random.default_rng(n)
    y = (100 + rng.standard_normal(n)).astype(of_y)
    prediction = (y + rng.standard_normal(n)).astype(of_prediction)
    assert r2(y, prediction) == r2_score(y, prediction)
    assert r2(y[::2], prediction[::2]) == pytest.approx(
        r2_score(y[::2], prediction[::2]), rel=1e-12
    )
    assert type(r2(y, prediction)) is float


@pytest.mark.parametrize(
    ("y", "prediction"),
    [
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 1.0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        ([1, 2, 3], [1.0, 2.5, 3.0]),
        ([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]], [[1.0, 2.5], [3.5, 4.0], [0.0, 0.0]]),
    ],
)
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_r2_of_constants_and_tables_and_with_weights(y, prediction, weights):
    y, prediction = np.array(y), np.array(prediction)
    assert r2(y, prediction, weights) == r2_score(y, prediction, sample_weight=weights)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_finite_is_refused_as_by_scikit_learn(place):
    arrays = [np.arange(4.0), np.arange(4.0)]
    arrays[place][2] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        r2(*arrays)


def test_too_few_rows_or_other_lengths_are_scikit_learn_s_business():
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(r2(np.array([1.0]), np.array([1.0])))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        r2(np.arange(3.0), np.arange(4.0))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        label_accuracy(np.arange(3), np.arange(4))


@pytest.mark.parametrize(
    ("y", "prediction"),
    [
        (np.array([0, 1, 2, 1]), np.array([0, 1, 1, 1])),
        (np.array([True, False, True]), np.array([True, True, True])),
        (np.array(["a", "b", "b"]), np.array(["a", "a", "b"])),
        (np.array([0, 1, 2], np.int8), np.array([0, 1, 1])),
        ([0, 1, 2], np.array([0, 1, 1])),
        (np.array([[0, 1], [1, 1], [1, 0]]), np.array([[0, 1], [1, 0], [1, 0]])),
    ],
    ids=["whole", "bool", "text", "short", "list", "several"],
)
def test_accuracy_is_that_of_scikit_learn(y, prediction):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = label_accuracy(y, prediction)
    assert score == accuracy_score(y, prediction)
    assert type(score) is float
    weights = np.arange(1.0, 1 + len(prediction))
    assert label_accuracy(y, prediction, weights) == accuracy_score(
        y, prediction, sample_weight=weights
    )
