"""Each solver's loss curve is the one that was kept: no release changes numbers unnoticed.

`helpers.kept` says how the file is renewed where numbers are meant to change.
"""

import json

import numpy as np

from helpers.fits import EVERY_MODE, MODES
from helpers.kept import CURVES, N_ITERATIONS, fit

#: Scaled conjugate gradients take curvatures from differences of gradients, which lose digits.
TOLERANCE = {"scg": 1e-5}
KEPT = json.loads(CURVES.read_text())


def test_every_solver_has_a_curve():
    assert set(KEPT) == set(MODES)


@EVERY_MODE
def test_the_curve_is_the_one_kept(mode):
    curve = fit(mode).loss_curve_
    assert len(curve) == N_ITERATIONS
    np.testing.assert_allclose(curve, KEPT[mode], rtol=TOLERANCE.get(mode, 1e-9))
