"""What training on a GPU takes, against our own CPU kernels, PyTorch, JAX and the device's limits.

    python bench/run.py cuda                    all cases, within ten minutes
    python bench/run.py cuda --quick            fewer repeats
    python bench/run.py cuda --compile          torch.compile inside a CUDA graph, too
    NUMBA_ENABLE_CUDASIM=1 python bench/run.py cuda --try-out
                                                no GPU: tiny sizes in numba's simulator, the rivals
                                                on the CPU; all is checked and nothing measured

PyTorch and JAX are timed where they are installed and see the GPU, and else named.

Checked first, timed then. Every implementation starts at the same parameters and goes through the
rows in the same order, as they stand, with the same Adam and no weight decay. After some 20 steps
all must have arrived where fastbp's CPU kernels arrive: to 1e-3 of the largest entry in float32,
but for one entry in a thousand, which may be ten times as far off: where a gradient is about 0,
Adam's step is the sign of its rounding error. Gradients agree to 1e-4 of the largest entry with the
CPU's in float64, in float64 to 1e-10; two runs on the GPU to the last bit. Who fails is named and
not timed. Adam's epsilon is 1e-12 for all: torch puts it elsewhere (`rivals/torch_cuda.py`), and
this small it plays no part. Products are float32's: no TF32 in PyTorch, the highest precision in
JAX; what PyTorch takes with TF32 and JAX with its default precision stands in a row of its own,
checked to some hundredths only.

Times are medians of repeats in turns, each ended by waiting for the device, after a warm-up:

- *An epoch of Adam*: one call, with the data on the device. fastbp's is `Fleet.epochs` as
  `fit(shuffle=False)` calls it, with the order of rows that it makes and moves for each epoch; "in
  kernels" is the part of it that passes in launched kernels, from repeats of its own. The rivals
  take slices of rows as they lie, without an order, and PyTorch writes no loss down.
- *Loss and gradient, prediction*: data on the device; parameters come from the host and the result
  goes back to it, as batch solvers have it. The way back is not in the limit.
- *Many networks online*: one launch of `Fleet.epochs` against the same networks in one thread a
  core, with plain gradient descent. Equal seeds and rows share one order, drawn in the time; orders
  of their own are drawn before it, or in it, as the row says. A throughput counts samples times
  networks.
- *A fit's overhead*: t1 - (t11 - t1) / 10, of `BackpropRegressor.fit` with max_iter 1 and 11, when
  everything is compiled.

A ratio is the other's time over fastbp's on the GPU, bold where fastbp loses; in brackets the goal.
"limit" is the larger of the flops of the products (`cases.py`) over the device's FP32 peak,
multiprocessors x lanes x 2 x clock, and of the bytes of inputs, targets and order, once each, over
what a copy on the device reaches, reads and writes counted; parameters and moments stay in the
second-level cache or nearer and are not counted.

Not measured: moving data to the device (but for a fit), compiling, shuffles in mini-batches, epochs
in float64, many networks in PyTorch or JAX.
"""

import importlib
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np

from bench.cases import RATE, Case, make_data, prediction_flops, training_flops
from bench.instruments.device_limits import ask_smi
from bench.instruments.device_race import Race
from bench.instruments.options import parser
from bench.instruments.timing import fit
from bench.rivals.fastbp_cuda import ORDERS, Fastbp, fleet_of, runs_of, start_of, train_all
from fastbp import BackpropRegressor
from fastbp.backends.device import why_no_gpu
from fastbp.model import update_rules
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE, EpochPlan

ADAM = update_rules.adam(RATE, 0.9, 0.999, 1e-12)
SGD = update_rules.sgd(RATE, 0.0, False)
ADAM_GOALS = {"torch eager": 5, "torch graph": 1.5, "JAX": 1}
MANY_GOALS = {"fastbp CPU": 20}
FIT_GOAL = 50  # ms
TRAINED, GRADIENT, EXACT, PREDICTED = 1e-3, 1e-4, 1e-10, 1e-4  # of the largest entry
MOST_ADAM = 10  # times as far off may be a thousandth of what Adam trained


class Sizes(NamedTuple):
    """How large everything is."""

    layers: tuple = (64, 128, 128, 1)
    batch_sizes: tuple = (1024, 4096, 16384, 65536)
    n_rows: int = 2**20
    n_steps: int = 20  # of a check
    n_exact: int = 2**14  # rows of the gradient in float64
    many: Case = Case("online", (10, 50, 1), "tanh", 1, 20_000, 0.0)
    n_networks: int = 1024
    fit: Case = Case("fit", (16, 64, 64, 1), "relu", 256, 20_000)


TINY = Sizes(
    layers=(5, 9, 8, 1),
    batch_sizes=(8, 16),
    n_rows=32,
    n_steps=4,
    n_exact=20,
    many=Case("online", (3, 5, 1), "tanh", 1, 5, 0.0),
    n_networks=3,
    fit=Case("fit", (3, 5, 1), "relu", 4, 8),
)


class Bench:
    """The cases: what is computed in each, by whom, and how well all must agree."""

    def __init__(self, sizes, race, with_compile):
        self.sizes, self.race = sizes, race
        self.gpu, self.cpu = race.own, Fastbp("cpu")
        self.everybody = [self.gpu, self.cpu]
        self.everybody += [*self._load("torch", with_compile), *self._load("jax")]

    def _load(self, package, *options):
        """Ways to compute by a package, none where it or its GPU is missing."""
        try:
            return importlib.import_module(f"bench.rivals.{package}_cuda").ways(*options)
        except (ImportError, RuntimeError) as error:
            print(f"Left out: {package} ({' '.join(str(error).split())}).")
            return []

    def run(self):
        """Run all cases."""
        sizes = self.sizes
        case = Case("batch", sizes.layers, "relu", sizes.batch_sizes[0], sizes.n_rows, 0.0)
        X, y = make_data(case, np.float32)
        for batch_size in sizes.batch_sizes:
            label = f"Adam, {case.net_name}, batches of {batch_size}"
            self.race.attempt(label, self._adam, case._replace(batch_size=batch_size), X, y)
        self.race.attempt(f"loss and gradient, {case.net_name}", self._gradient, case, X, y)
        self.race.attempt(f"predict, {case.net_name}", self._prediction, case, X)
        for orders in ORDERS:
            label = f"{sizes.n_networks} x {sizes.many.net_name} online, {orders}"
            self.race.attempt(label, self._many, orders)
        self.race.attempt("overhead of a fit", self._fit)

    def _adam(self, case, X, y):
        """An epoch of mini-batches."""
        n_steps = min(self.sizes.n_steps, case.n_rows // case.batch_size)
        n = n_steps * case.batch_size
        short = case._replace(n_rows=n)

        def trained(each):
            run, parameters = each.epochs(short, X[:n], y[:n], ADAM)
            run()
            return parameters()

        what = f"parameters after {n_steps} steps"
        agreeing = self.race.agreeing(
            what, self.everybody, trained, trained(self.cpu), TRAINED, MOST_ADAM
        )
        if self.gpu not in agreeing:
            return
        self.race.same_bits(what, trained(self.gpu), trained(self.gpu))
        runs = self.race.warmed_up(agreeing, lambda each: each.epochs(case, X, y, ADAM)[0])
        self.race.measure(case, training_flops(case.sizes), runs, ADAM_GOALS)
        if not self.race.is_simulated:
            print(f"  clock now: {ask_smi('clocks.sm')} of {ask_smi('clocks.max.sm')} at most")

    def _gradient(self, case, X, y):
        """Loss and gradient of all rows."""
        start, _ = start_of(case)

        def gradient(each, dtype, n):
            loss_and_gradient = each.gradient(case, X[:n].astype(dtype), y[:n].astype(dtype))
            return loss_and_gradient(start.astype(dtype))[1]

        agreeing = [each for each in self.everybody if not each.only_trains]
        for dtype, n, digits in (
            (np.float64, self.sizes.n_exact, EXACT),
            (np.float32, case.n_rows, GRADIENT),
        ):
            what = f"gradient of {n} rows in {np.dtype(dtype).name}"
            agreeing = self.race.agreeing(
                what, agreeing, partial(gradient, dtype=dtype, n=n),
                gradient(self.cpu, np.float64, n), digits,
            )  # fmt: skip
        if self.gpu not in agreeing:
            return
        runs = self.race.warmed_up(agreeing, lambda each: partial(each.gradient(case, X, y), start))
        self.race.same_bits("gradient", *(runs[self.gpu]()[1] for _ in range(2)))
        self.race.measure(case, training_flops(case.sizes), runs)

    def _prediction(self, case, X):
        """Predictions of all rows."""
        start, _ = start_of(case)
        agreeing = self.race.agreeing(
            "predictions",
            [each for each in self.everybody if not each.only_trains],
            lambda each: each.prediction(case, X)(start),
            self.cpu.prediction(case, X.astype(np.float64))(start.astype(np.float64)),
            PREDICTED,
        )
        if self.gpu in agreeing:
            runs = self.race.warmed_up(
                agreeing, lambda each: partial(each.prediction(case, X), start)
            )
            self.race.measure(case, prediction_flops(case.sizes), runs)

    def _many(self, orders):
        """Networks side by side, online, for an epoch."""
        case, n = self.sizes.many, self.sizes.n_networks
        data, plan = as_data(*make_data(case, np.float32)), EpochPlan(SGD, NO_PATIENCE, 1)
        n_orders, order = ORDERS[orders]
        with ExitStack() as stack:

            def shuffles(on_device):
                each = [order(seed, case.n_rows, on_device) for seed in range(n)]
                return [stack.enter_context(one) for one in each]

            on_cpu = runs_of(case, data, shuffles(False), SGD)

            def trained(each):
                """Parameters of some after an epoch; the same again for the same arguments."""
                if each is self.cpu:
                    train_all(on_cpu, plan)
                    return np.concatenate([on_cpu[i].parameters for i in some])
                fleet = fleet_of(case, data, shuffles(True), SGD)
                fleets.append(fleet)
                fleet.epochs(dict.fromkeys(range(n), plan))
                return np.concatenate([fleet.parameters(i) for i in some])

            some, fleets = (0, n // 2, n - 1), []
            what = "parameters of three networks after an epoch"
            if not self.race.agreeing(what, [self.gpu], trained, trained(self.cpu), TRAINED):
                return
            self.race.same_bits(what, trained(self.gpu), trained(self.gpu))
            runs = {
                self.gpu: partial(fleets[0].epochs, dict.fromkeys(range(n), plan)),
                self.cpu: partial(train_all, on_cpu, plan),
            }
            self.race.measure(case, training_flops(case.sizes), runs, MANY_GOALS, n, n_orders(n))

    def _fit(self):
        """What a fit costs besides its epochs."""
        case = self.sizes.fit
        X, y = make_data(case, np.float32)
        on_gpu = partial(BackpropRegressor, device="cuda")
        gpu, cpu = (fit(each, case, X, y, 1).coefs_ for each in (on_gpu, BackpropRegressor))
        gpu, cpu = (np.concatenate([coef.ravel() for coef in coefs]) for coefs in (gpu, cpu))
        what = f"weights after an epoch of {case.net_name}"
        if not self.race.agreeing(what, [self.gpu], lambda _: gpu, cpu, TRAINED, MOST_ADAM):
            return
        runs = {n: partial(fit, on_gpu, case, X, y, n) for n in (1, 11)}
        for run in runs.values():
            run()
        short, long = (1e3 * median(times) for times in self.race.seconds_of(runs).values())
        shown = f"{short - (long - short) / 10:.1f} ms; {short:.1f} ms for 1 and {long:.1f} for 11"
        self.race.note(
            f"A fit costs {'(simulated)' if self.race.is_simulated else shown}, its epochs not "
            f"counted ({case.net_name}, {case.n_rows} rows, batches of {case.batch_size}; goal "
            f"{FIT_GOAL})."
        )


def main(arguments):
    """Run what the command line says; 0 where nothing failed, 2 where nothing can run."""
    own = parser("cuda", __doc__)
    own.add_argument("--quick", action="store_true", help="fewer repeats")
    own.add_argument("--try-out", action="store_true", help="tiny sizes, which time nothing")
    own.add_argument("--compile", action="store_true", help="time torch.compile, too")
    own.add_argument("--minutes", type=float, default=8.5, help="begin no case after so many")
    options = own.parse_args(arguments)
    reason = why_no_gpu()
    if reason is not None:
        print(
            f"This table needs a GPU, but {reason}. With NUMBA_ENABLE_CUDASIM=1 and --try-out "
            "it checks everything in numba's simulator."
        )
        return 2
    from fastbp.machine.gpu_kernels import SIMULATED

    if SIMULATED and not options.try_out:
        print("numba's simulator measures nothing and takes years: add --try-out.")
        return 2
    sizes = TINY if options.try_out else Sizes()
    race = Race(Fastbp("cuda"), SIMULATED, options.quick, options.minutes)
    bench = Bench(sizes, race, options.compile)
    race.describe()
    if SIMULATED:
        print("The simulator measures nothing: there are no times in what follows.")
    elif options.try_out:
        print("A try-out: the sizes are tiny, and their times say nothing.")
    bench.run()
    race.print_tables()
    return 1 if race.failures else 0
