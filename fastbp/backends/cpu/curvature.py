"""How the predictions of all rows bend along a line of parameters, as geodesic acceleration asks.

The second derivative along the line comes of three forward passes. J' times a vector, J being the
Jacobian of the predictions, is the gradient of squared errors that are that vector: of targets that
lie so far below the predictions. So no kernel is needed that is not there already.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.full_pass import FullPass
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["Curvature"]

_SHARE = 0.1  # of a long direction, from which its bend is seen (Transtrum & Sethna, 2012)


class Curvature:
    """Second derivatives of a network's predictions on data, taken back to the parameters.

    Parameters
    ----------
    network : Network
        The network; its loss is the squared error.
    data : Data
        Inputs and sample weights, and targets, of which only the shape matters.

    Attributes
    ----------
    network : Network
        The network.
    """

    def __init__(self, network: Network, data: Data) -> None:
        self.network, self._data = network, data._replace(y=np.empty_like(data.y))
        self._full_pass = FullPass(network, self._data, 1)
        self._workspaces: list[Any] = []

    def sums(
        self, parameters: NDArray[np.floating], direction: NDArray[np.floating], n_threads: int
    ) -> NDArray[np.float64]:
        """Sum over all rows: J' w f'', with f'' the predictions' second derivative.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.
        direction : ndarray of shape (n_parameters,)
            By what the parameters change a unit of the line.
        n_threads : int
            Threads that share the rows.

        Returns
        -------
        sums : ndarray of shape (n_parameters,)
            Of a short direction exact to some 1e-7 (float64) or 1e-3 (float32) of the largest; of
            a long one f'' is that seen from a tenth of it on both sides.
        """
        dtype, longest = parameters.dtype, float(np.abs(direction).max())
        # Rounding takes eps / h^2, and what the difference leaves out is h^2. The bends that matter
        # to a long step are those on its scale: a rectifier has no others than kinks.
        h = max(float(np.finfo(dtype).eps) ** 0.25, _SHARE * longest)
        step = direction * (h / longest)

        def predictions(at: NDArray[np.floating]) -> NDArray[np.floating]:
            rounded = at.astype(dtype, copy=False)
            return predict(self.network, rounded, self._data, n_threads, self._workspaces)

        middle = predictions(parameters)
        bend = (predictions(parameters + step) - middle) + (predictions(parameters - step) - middle)
        np.subtract(middle, bend / dtype.type(h * h), out=self._data.y)
        self._full_pass.n_threads = n_threads
        _, gradient = self._full_pass.sums(parameters)
        return longest * longest * gradient.astype(np.float64)
