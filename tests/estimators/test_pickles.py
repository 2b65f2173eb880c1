"""Pickles of earlier versions load, and hold nothing compiled."""

import io
import json
import pickle
import re
import warnings

import numpy as np
import pytest

from fastbp import __version__
from helpers.fits import EVERY_MODE, SHORT, make_net
from helpers.guards import NEEDS_A_COMPILER
from helpers.kept import DATA, rows

KEPT = sorted(DATA.glob("regressor-*.pkl"))


def test_this_version_has_a_pickle():
    assert DATA / f"regressor-{__version__}.pkl" in KEPT


@SHORT
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_pickle_of_an_earlier_version_predicts_what_it_did_and_goes_on(path):
    """scikit-learn warns of its own version, fastbp of fastbp's."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        net = pickle.loads(path.read_bytes())
    warned = [w for w in record if re.search("was pickled by fastbp", str(w.message))]
    assert bool(warned) == (path.stem != f"regressor-{__version__}")
    X, y = rows()
    expected = json.loads(path.with_name(f"{path.stem}.json").read_text())
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-12, atol=1e-13)
    loss = net.loss_
    for _ in range(20):
        net.partial_fit(X, y)
    assert net.loss_ < loss


class _Noting(pickle.Unpickler):
    """Loads, and notes where what it is told to call comes from."""

    def find_class(self, module, name):
        self.modules.add(module)
        return super().find_class(module, name)


@NEEDS_A_COMPILER
@SHORT
@EVERY_MODE
def test_a_pickle_holds_nothing_compiled(mode, problem):
    X, y = problem()
    net = make_net(mode).fit(X, y)
    net.predict(X)
    net.predict_one(X[0])
    if hasattr(net, "learn_one"):
        net.learn_one(X[0], y[0])
    loading = _Noting(io.BytesIO(pickle.dumps(net)))
    loading.modules = set()
    np.testing.assert_array_equal(loading.load().predict(X), net.predict(X))
    packages = {module.partition(".")[0] for module in loading.modules}
    assert packages <= {"fastbp", "numpy", "builtins", "copyreg"}
