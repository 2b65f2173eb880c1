"""Columns of numbers and text as numbers, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fastbp.estimators.table_encoder import TableEncoder

TABLE = pd.DataFrame({"a": [1.0, None, 5.0], "b": ["x", "y", None], "c": [1, 2, 3]})
ENCODED = [[1, 0, 1, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 3]]


@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_text_is_one_hot_and_missing_numbers_are_the_mean(missing):
    for X in (TABLE, TABLE.astype(object).where(TABLE.notna(), None).to_numpy()):
        X = X.copy()
        if isinstance(X, np.ndarray):
            X[2, 1] = missing
        np.testing.assert_array_equal(TableEncoder().fit_transform(X), ENCODED)


def test_what_the_fit_has_not_seen_is_none_of_its_labels():
    encoder = TableEncoder().fit(TABLE)
    new = pd.DataFrame({"a": [np.nan], "b": ["z"], "c": [7]})
    np.testing.assert_array_equal(encoder.transform(new), [[3, 0, 0, 0, 7]])
    full = TableEncoder().fit(TABLE.iloc[:2])
    np.testing.assert_array_equal(full.transform(TABLE)[2], [5, 0, 0, 3])


def test_bad_input_is_named():
    encoder = TableEncoder()
    with pytest.raises(NotFittedError):
        clone(encoder).transform(TABLE)
    encoder.fit(TABLE)
    with pytest.raises(ValueError, match="'a' is to be of numbers, as in the fit: .*'many'"):
        encoder.transform(pd.DataFrame({"a": ["many"], "b": ["x"], "c": [1]}))
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(TABLE[["b", "a", "c"]])
    with pytest.raises(ValueError, match="Column 1 has no value in any of 2 rows"):
        encoder.fit([[1.0, np.nan], [2.0, np.nan]])
