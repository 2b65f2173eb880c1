"""
A network elsewhere: ONNX and C
===============================

A fitted network is small, and other programs can run it: as ONNX in any of its runtimes, or as a
C function of a few lines that needs nothing but ``math.h``. Both give the numbers of ``predict``.
"""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, to_c, to_onnx

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)
net = BackpropRegressor(
    "squared_error", (8,), "tanh", solver="lm", alpha=1.0, scale_target=True, random_state=0
)
net.fit(X, y)

# %%
# C99: no allocation, no state, so threads may call it side by side. The target's scaling is inside:
# it answers in the units of y. What a pipeline does before the network is left to the caller.
source = to_c(net)
print(source[:300], "...")
compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
if compiler is None:
    print("There is no C compiler here, so the file is not compiled.")
else:
    folder = Path(tempfile.mkdtemp())
    (folder / "net.c").write_text(source)
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", "net.so", "net.c", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    in_c = ctypes.CDLL(folder / "net.so").predict
    of_doubles = np.ctypeslib.ndpointer(np.float64)
    in_c.argtypes, in_c.restype = [of_doubles, of_doubles], None
    prediction = np.empty(len(X))
    for row, out in zip(X, prediction[:, np.newaxis], strict=True):
        in_c(row, out)
    print("C differs by", abs(prediction - net.predict(X)).max())

# %%
# ONNX: one model file. `to_onnx` takes whole pipelines, too, where skl2onnx is installed.
try:
    import onnxruntime

    model = to_onnx(net)
except ImportError as missing:
    print("ONNX is left out:", missing)
else:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (name,) = [each.name for each in session.get_inputs()]
    (prediction,) = session.run(None, {name: X})
    print("ONNX differs by", abs(prediction.ravel() - net.predict(X)).max())
