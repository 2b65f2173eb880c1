"""PyTorch on the GPU: eager, and a CUDA graph of a whole epoch; `tables/cuda.py` races them.

It imports PyTorch. Both take what makes PyTorch fast: data on the device, batches that are views of
them, `torch.optim.Adam` fused into one kernel, no loss written down. A graph holds every step of an
epoch, so its replay is one call. Where there is no GPU, in a try-out, all runs on the CPU, and the
graph's steps without a graph.

torch's Adam divides by sqrt(v) / sqrt(1 - b2^t) + eps, fastbp's by sqrt(v) + eps: with the same eps
the two differ where the root of a second moment is not far above eps, and nowhere else.
"""

import gc

import torch

from bench.cases import initial_parameters
from fastbp.machine.gpu_kernels import SIMULATED

__all__ = ["Eager", "Graph", "ways"]

ACTIVATIONS = {
    "tanh": (torch.nn.Tanh, torch.tanh),
    "relu": (torch.nn.ReLU, torch.relu),
}


def ways(compiled):
    """All ways to train with PyTorch that are timed, with compiled ones if wanted."""
    if not SIMULATED and not torch.cuda.is_available():
        raise ImportError(f"torch {torch.__version__} sees no GPU")
    extra = [Graph(compiled=True)] if compiled else []
    return [Eager(), Graph(), *extra, Eager(tf32=True), Graph(tf32=True)]


class Eager:
    """One operation after another."""

    column, only_trains, captures = "torch eager", False, False

    def __init__(self, tf32=False, compiled=False):
        self.tf32, self._compiled = tf32, compiled
        self.name = self.column + ", compiled" * compiled + ", TF32" * tf32
        self.column += ", compiled" * compiled
        self._device = torch.device("cpu" if SIMULATED else "cuda")

    def epochs(self, case, X, y, rule):
        """Give ``run()``, which goes once through the rows as they stand, and ``parameters()``."""
        self._set_precision()
        linears, model = self._model(case, X.dtype)
        optimiser = torch.optim.Adam(
            model.parameters(),
            lr=rule.learning_rate,
            betas=(rule.beta_1, rule.beta_2),
            eps=rule.epsilon,
            fused=True,
            capturable=self.captures and self._device.type == "cuda",
        )
        X, y = self._moved(X, y)
        batches = list(zip(X.split(case.batch_size), y.split(case.batch_size), strict=True))
        loss_of = torch.compile(_half_squares) if self._compiled else _half_squares

        def step(x, target):
            optimiser.zero_grad()
            loss_of(model, x, target).backward()
            optimiser.step()

        def epoch():
            for x, target in batches:
                step(x, target)

        epoch = self._prepared(epoch, lambda: step(*batches[0]), optimiser)

        def run():
            self._set_precision()
            epoch()
            self._synchronise()

        def parameters():
            arrays = [linear.weight.detach().T.cpu().numpy() for linear in linears]
            biases = [linear.bias.detach().cpu().numpy() for linear in linears]
            return case.network.pack(arrays, biases, arrays[0].dtype)

        return run, parameters

    def gradient(self, case, X, y):
        """Give a function from parameters to the loss of all rows and its gradient."""
        X, y = self._moved(X, y)

        def loss_and_gradient(parameters):
            self._set_precision()
            flat = torch.from_numpy(parameters).to(self._device).requires_grad_()
            loss = _half_squares(lambda x: _forward(case, flat, x), X, y)
            loss.backward()
            return loss.item(), flat.grad.cpu().numpy()

        return loss_and_gradient

    def prediction(self, case, X):
        """Give a function from parameters to the predictions of all rows."""
        (X,) = self._moved(X)

        @torch.inference_mode()
        def predict(parameters):
            self._set_precision()
            flat = torch.from_numpy(parameters).to(self._device)
            return _forward(case, flat, X).cpu().numpy()

        return predict

    def _prepared(self, epoch, step, optimiser):
        return epoch

    def _set_precision(self):
        torch.backends.cuda.matmul.allow_tf32 = self.tf32

    def _synchronise(self):
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _moved(self, *arrays):
        return [torch.from_numpy(array).to(self._device) for array in arrays]

    def _model(self, case, dtype):
        """Linear layers with the initial parameters, and the module of them all."""
        linears, modules = [], []
        for arrays in zip(*case.network.unpack(initial_parameters(case, dtype)), strict=True):
            coef, intercept = map(torch.from_numpy, arrays)
            linear = torch.nn.Linear(*coef.shape, dtype=coef.dtype)
            with torch.no_grad():
                linear.weight.copy_(coef.T)
                linear.bias.copy_(intercept)
            linears.append(linear)
            modules += [linear, ACTIVATIONS[case.activation][0]()]
        return linears, torch.nn.Sequential(*modules[:-1]).to(self._device)


class Graph(Eager):
    """An epoch captured once and replayed."""

    column, only_trains, captures = "torch graph", True, True

    def _prepared(self, epoch, step, optimiser):
        """Warm up, as capturing asks for; go back to the start; capture."""
        variables = optimiser.param_groups[0]["params"]
        start = [variable.detach().clone() for variable in variables]
        if self._device.type == "cuda":
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._warm_up(step)
            torch.cuda.current_stream().wait_stream(stream)
        else:
            self._warm_up(step)
        with torch.no_grad():
            for variable, value in zip(variables, start, strict=True):
                variable.copy_(value)
            for state in optimiser.state.values():
                for tensor in state.values():
                    tensor.zero_()
        if self._device.type == "cpu":
            return epoch
        optimiser.zero_grad()
        gc.collect()  # nothing may be freed while it captures
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            epoch()
        return graph.replay

    def _warm_up(self, step):
        for _ in range(3):
            step()


def _half_squares(model, x, target):
    error = model(x) - target
    return 0.5 * (error * error).sum() / len(error)


def _forward(case, flat, x):
    """Outputs of the network whose parameters are a vector."""
    coefs, intercepts = case.network.unpack(flat)
    for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
        x = ACTIVATIONS[case.activation][1](torch.addmm(intercept, x, coef))
    return torch.addmm(intercepts[-1], x, coefs[-1])
