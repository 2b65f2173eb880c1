"""PyTorch, eager, one thread: nn.Linear layers, autograd, torch.optim.

Its Adam adds epsilon after the correction for the first steps, as Kingma & Ba's algorithm 1 has it;
the others take the paper's faster order. Where a gradient is tiny the two differ, so the comparison
of parameters is less strict.
"""

import importlib.util

import numpy as np

from bench.cases import RATE, initial_parameters

NAME = "PyTorch"
DIGITS = {"float64": 3e-2, "float32": 3e-2}


def missing():
    return None if importlib.util.find_spec("torch") else "torch is not installed"


def fits(case, dtype):
    plain = case.alpha == 0 and case.output_activation is None
    return plain and case.update in ("plain", "adam")


def _model(case, numpy_dtype):
    """Make the net up to its output layer's net inputs, and its linear layers."""
    import torch

    torch.set_num_threads(1)
    dtype = torch.float32 if numpy_dtype == np.float32 else torch.float64
    coefs, intercepts = case.network.unpack(initial_parameters(case, numpy_dtype))
    activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "logistic": torch.nn.Sigmoid}
    activation = activations[case.activation]
    linears, modules = [], []
    for coef, intercept in zip(coefs, intercepts, strict=True):
        linear = torch.nn.Linear(*coef.shape, dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(coef.T.copy()))
            linear.bias.copy_(torch.from_numpy(intercept.copy()))
        linears.append(linear)
        modules += [linear, activation()]
    return torch.nn.Sequential(*modules[:-1]), linears


def epochs(case, X, y):
    import torch

    model, linears = _model(case, X.dtype)
    loss_of = {
        "squared_error": lambda z, y: 0.5 * ((z - y) ** 2).sum() / len(z),
        "binary_cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits,
        "cross_entropy": torch.nn.functional.cross_entropy,
    }[case.loss]
    Optimiser = torch.optim.SGD if case.update == "plain" else torch.optim.Adam
    optimiser = Optimiser(model.parameters(), lr=RATE)
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def run():
        for start in range(0, len(X), case.batch_size):
            stop = start + case.batch_size
            optimiser.zero_grad()
            loss_of(model(X[start:stop]), y[start:stop]).backward()
            optimiser.step()

    def parameters():
        weights = [linear.weight.detach().numpy().T for linear in linears]
        return case.network.pack(
            weights, [linear.bias.detach().numpy() for linear in linears], weights[0].dtype
        )

    return run, parameters


def prediction(case, X):
    import torch

    model, _ = _model(case, X.dtype)
    X = torch.from_numpy(X)
    outputs = {
        "squared_error": lambda z: z,
        "binary_cross_entropy": torch.sigmoid,
        "cross_entropy": lambda z: torch.softmax(z, dim=1),
    }[case.loss]

    @torch.inference_mode()
    def run():
        return outputs(model(X)).numpy()

    return run
