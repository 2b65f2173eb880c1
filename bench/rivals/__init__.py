"""The implementations that are timed against each other, one file each.

Every file has a ``NAME``; ``missing()``, which says why it cannot run here, or None;
``fits(case)``, whether it does what a case asks for; and ``epochs(case, X, y)``, which gives two
functions: ``run()`` goes once through the rows as they stand, from where the last call stopped, and
``parameters()`` is the parameter vector now, in fastbp's order. All start from the same parameters;
none shuffles. Before anything is timed, one epoch of each must have led to the same parameters.
"""

from bench.rivals import c_online, fann, fastbp_net, jax_net, numpy_net, sklearn_net, torch_net
from bench.rivals.libraries import LIBRARIES

__all__ = ["LIBRARIES", "RIVALS", "available"]

RIVALS = {
    rival.NAME: rival
    for rival in (fastbp_net, numpy_net, sklearn_net, c_online, fann, jax_net, torch_net)
}


def available(case, dtype, names=tuple(RIVALS)):
    """Rivals of some names that are installed and do what a case asks for, by name.

    Libraries are among them only if they are named.
    """
    return {
        name: rival
        for name, rival in (RIVALS | LIBRARIES).items()
        if name in names and rival.missing() is None and rival.fits(case, dtype)
    }
