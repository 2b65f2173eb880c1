"""OpenCV's ANN_MLP, before its version 5: online, float64, tanh units in hidden and output layers.

It sends an error back through weights that it has just updated, so after an epoch its own differ a
little. It shuffles; the rows are laid so that its first epoch goes through them as they stand.
"""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

from bench.cases import RATE, initial_parameters

NAME = "OpenCV"
DIGITS = {"float64": 1e-3}

_FORMAT = """%YAML:1.0
---
opencv_ml_ann_mlp:
  format: 3
  layer_sizes: {sizes}
  activation_function: SIGMOID_SYM
  f_param1: 2.
  f_param2: 1.
  min_val: -0.95
  max_val: 0.95
  min_val1: -0.98
  max_val1: 0.98
  training_params:
    train_method: BACKPROP
    dw_scale: {rate}
    moment_scale: 0.
    term_criteria: {{iterations: 1}}
  input_scale: {inputs}
  output_scale: {outputs}
  inv_output_scale: {outputs}
  weights:
"""


def missing():
    if importlib.util.find_spec("cv2") is None:
        return "opencv-python-headless is not installed"
    import cv2

    return None if hasattr(cv2, "ml") else "OpenCV 5 has no ANN_MLP any more"


def fits(case, dtype):
    plain = case.batch_size == 1 and case.update == "plain" and case.alpha == 0
    units = case.activation == case.output_activation == "tanh" and not case.is_of_classes
    return plain and units and dtype == np.float64


def epochs(case, X, y):
    import cv2

    cv2.setNumThreads(1)
    net = _net(case, X.dtype)
    rows, targets = np.empty_like(X), np.empty_like(y)
    order = _first_order(len(X))
    rows[order], targets[order] = X, y
    data = cv2.ml.TrainData_create(
        rows.astype(np.float32), cv2.ml.ROW_SAMPLE, targets.astype(np.float32)
    )
    flags = sum(
        getattr(cv2.ml, f"ANN_MLP_{name}")
        for name in ("UPDATE_WEIGHTS", "NO_INPUT_SCALE", "NO_OUTPUT_SCALE")
    )

    def parameters():
        layers = [net.getWeights(i) for i in range(1, len(case.sizes))]
        coefs, intercepts = [w[:-1] for w in layers], [w[-1] for w in layers]
        return case.network.pack(coefs, intercepts, X.dtype)

    return lambda: net.train(data, flags), parameters


def _net(case, dtype):
    """Load the net from its file format: the only way to give it weights."""
    import cv2

    coefs, intercepts = case.network.unpack(initial_parameters(case, dtype))
    text = _FORMAT.format(
        sizes=list(case.sizes),
        rate=RATE,
        inputs=[1.0, 0.0] * case.sizes[0],
        outputs=[1.0, 0.0] * case.sizes[-1],
    )
    for layer in zip(coefs, intercepts, strict=True):
        text += f"    - {np.vstack(layer).ravel().tolist()}\n"
    with tempfile.TemporaryDirectory(prefix="fastbp-bench-") as folder:
        file = Path(folder, "net.yml")
        file.write_text(text, encoding="utf-8")
        return cv2.ml.ANN_MLP_load(str(file))


def _first_order(n_rows):
    """Give the order in which the net's first epoch goes through the rows.

    Pairs of rows are swapped, as many as there are rows; OpenCV's generator starts at 2^64 - 1.
    """
    order, state = np.arange(n_rows), 2**64 - 1
    for _ in range(n_rows):
        pair = []
        for _ in range(2):
            state = ((state % 2**32) * 4164903690 + (state >> 32)) % 2**64
            pair.append(state % 2**32 % n_rows)
        order[pair] = order[pair[::-1]]
    return order
