"""
Rows on a cluster
=================

A Dask array is fitted partition by partition, where its rows lie: here by two workers on this
machine. The weights have the same bits with one worker, and in this process without any.
"""

import dask.array as da
import numpy as np
from distributed import Client
from sklearn.datasets import load_digits

from fastbp import BackpropClassifier

X, y = load_digits(return_X_y=True)
lazy_X, lazy_y = da.from_array(X / 16, chunks=(300, -1)), da.from_array(y, chunks=300)


def fitted():
    """Fit to the collections, wherever they are worked on."""
    net = BackpropClassifier((20,), solver="bfgs", alpha=1.0, max_iter=60, gtol=1e-3)
    return net.set_params(random_state=0).fit(lazy_X, lazy_y)


# %%
# Without a client, Dask's threads read the partitions when they are needed.

here = fitted()

# %%
# With one, the rows stay on the workers. ``processes=False`` keeps the two in this process; on a
# cluster, give the scheduler's address.

with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0"):
    there = fitted()
    probabilities = there.predict_proba(lazy_X)  # lazy, and computed by the workers
    print(probabilities)
    print(f"accuracy {there.score(lazy_X, lazy_y):.3f}")

pairs = zip(here.coefs_, there.coefs_, strict=True)
print("the same bits:", all(np.array_equal(mine, theirs) for mine, theirs in pairs))
