"""What training on a GPU takes, against our own CPU kernels, PyTorch, JAX and the device's limits.

    python bench/bench_cuda.py                  all cases, within ten minutes
    python bench/bench_cuda.py --quick          fewer repeats
    python bench/bench_cuda.py --compile        torch.compile inside a CUDA graph, too
    NUMBA_ENABLE_CUDASIM=1 python bench/bench_cuda.py --try-out
                                                no GPU: tiny sizes in numba's simulator, the rivals
                                                on the CPU; all is checked and nothing measured

Where fastbp is not installed, from the repository's root with PYTHONPATH=. before it. PyTorch and
JAX are timed where they are installed and see the GPU, and else named.

Checked first, timed then. Every implementation starts at the same parameters and goes through the
rows in the same order, as they stand, with the same Adam and no weight decay. After some 20 steps
all must have arrived where fastbp's CPU kernels arrive: to 1e-3 of the largest entry in float32,
but for one entry in a thousand, which may be ten times as far off: where a gradient is about 0,
Adam's step is the sign of its rounding error. Gradients agree to 1e-4 of the largest entry with the
CPU's in float64, in float64 to 1e-10; two runs on the GPU to the last bit. Who fails is named and
not timed. Adam's epsilon is 1e-12 for all: torch puts it elsewhere (``rivals/torch_cuda.py``), and
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
"limit" is the larger of the flops of the products (``cases.py``) over the device's FP32 peak,
multiprocessors x lanes x 2 x clock, and of the bytes of inputs, targets and order, once each, over
what a copy on the device reaches, reads and writes counted; parameters and moments stay in the
second-level cache or nearer and are not counted.

Not measured: moving data to the device (but for a fit), compiling, shuffles in mini-batches, epochs
in float64, many networks in PyTorch or JAX.
"""

import argparse
import datetime
import importlib
import math
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import machine
from cases import RATE, Case, make_data, prediction_flops, training_flops
from fastbp import BackpropRegressor, Objective, update_rules
from fastbp.data import as_data
from fastbp.device import why_no_gpu
from fastbp.legs import NO_PATIENCE, Leg
from fastbp.machine.threads import run_all
from fastbp.prediction import predictor
from fastbp.shuffles import Shuffles
from fastbp.update_rules import Moments
from report import number, ratio, table
from timing import fit, seconds

ADAM = update_rules.adam(RATE, 0.9, 0.999, 1e-12)
SGD = update_rules.sgd(RATE, 0.0, False)
ADAM_GOALS = {"torch eager": 5, "torch graph": 1.5, "JAX": 1}
MANY_GOALS = {"fastbp CPU": 20}
FIT_GOAL = 50  # ms
TRAINED, GRADIENT, EXACT, PREDICTED = 1e-3, 1e-4, 1e-10, 1e-4
TF32 = 5e-2
MOST_ADAM = 10  # times as far off may be a thousandth of what Adam trained
MANY_ROWS = 2**17  # of them an epoch is a call
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
COLUMNS = ["fastbp CPU", "torch eager", "torch graph", "torch graph, compiled", "JAX"]
HEADS = ["case", "products", "fastbp GPU", "samples/s", "spread", "in kernels", *COLUMNS]
HEADS += ["limit", "over limit"]


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
    batch_sizes=(16, 32),
    n_rows=64,
    n_steps=4,
    n_exact=40,
    many=Case("online", (3, 5, 1), "tanh", 1, 12, 0.0),
    n_networks=3,
    fit=Case("fit", (3, 8, 1), "relu", 8, 16),
)


class Fastbp:
    """The package, below its estimator, on one device."""

    tf32 = only_trains = False

    def __init__(self, device):
        self._device = device
        self.name = self.column = f"fastbp {'GPU' if device == 'cuda' else 'CPU'}"

    def epochs(self, case, X, y, rule):
        """Give ``run()``, which goes once through the rows as they stand, and ``parameters()``."""
        start, moments = start_of(case)
        walk = self._objective(case, X, y).walk(
            start, case.batch_size, rule, moments, Shuffles(None)
        )
        # As in a fit, a call for one epoch of many gets the next one's order ready meanwhile.
        leg = Leg(rule, NO_PATIENCE, 2 if case.n_rows >= MANY_ROWS else 1)

        def run():
            n_made = len(walk.epochs(leg))
            if n_made != 1:
                raise RuntimeError(f"a call was to make one epoch and made {n_made}")

        return run, lambda: walk.parameters.copy()

    def gradient(self, case, X, y):
        """Give a function from parameters to the loss of all rows and its gradient."""
        return self._objective(case, X, y).loss_and_gradient

    def prediction(self, case, X):
        """Give a function from parameters to the predictions of all rows."""
        return predictor(case.network, as_data(X), CORES, self._device)

    def _objective(self, case, X, y):
        if self._device == "cpu":
            return Objective(case.network, as_data(X, y), case.alpha, CORES)
        from fastbp.device_objective import DeviceObjective

        return DeviceObjective(case.network, as_data(X, y), case.alpha)


def start_of(case, seed=0):
    """Parameters and moments to start from, in float32."""
    start = case.network.initial_parameters(np.random.RandomState(seed), np.dtype(np.float32))
    return start, Moments.zeros(start.size, start.dtype)


class Drawn(Shuffles):
    """An order drawn before."""

    are_compiled, state = True, None

    def __init__(self, seed, n_rows, on_device):
        super().__init__(None)
        self.state, self.are_compiled = seed, on_device  # the CPU's kernels draw for themselves
        self._order = np.random.RandomState(seed).permutation(n_rows)

    def shuffle(self, rows):
        """Put rows in the order."""
        rows[:] = self._order


def _seeded(seed, n_rows, on_device):
    return Shuffles(np.random.RandomState(seed))


#: What the networks' orders of rows are: how many there are, and one network's, in a context.
ORDERS: dict[str, tuple[Callable, Callable]] = {
    "rows as they stand": (lambda n: 1, lambda *_: Shuffles(None)),
    "equal seeds, one order drawn": (lambda n: 1, lambda _, *rest: _seeded(0, *rest)),
    "own seeds, orders drawn before": (lambda n: n, Drawn),
    "own seeds, orders drawn in the time": (lambda n: n, _seeded),
}


class Device(NamedTuple):
    """What the device is and what it can do at most, in flops and bytes a second."""

    text: str
    peak: float
    bandwidth: float

    def limit(self, flops, n_bytes):
        """The least seconds for so much, and which of the two it is."""
        return max((flops / self.peak, "flops"), (n_bytes / self.bandwidth, "bytes"))


def measure_device(is_simulated):
    """Look at the device, and time copies on it."""
    if is_simulated:
        return Device("numba's CUDA simulator", math.nan, math.nan)
    from numba import cuda

    from fastbp.machine import gpu

    device = cuda.get_current_device()
    capability = tuple(device.compute_capability)
    # FP32 lanes of a multiprocessor, as the CUDA programming guide has them.
    lanes = 64 if capability in {(6, 0), (7, 0), (7, 2), (7, 5), (8, 0)} else 128
    hertz = 1e3 * device.CLOCK_RATE
    peak = device.MULTIPROCESSOR_COUNT * lanes * 2 * hertz
    source = gpu.to_device(np.arange(2**27, dtype=np.float32))
    target = gpu.to_device(np.ones(2**27, np.float32))

    def copy():
        target.copy_to_device(source)
        gpu.synchronise()

    copy()
    bandwidth = 2 * source.nbytes / median(seconds(copy) for _ in range(20))
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    text = (
        f"{name}, compute capability {'.'.join(map(str, capability))}, {ask_smi('driver_version')} "
        f"(driver), {device.MULTIPROCESSOR_COUNT} multiprocessors x {lanes} lanes x 2 x "
        f"{hertz / 1e9:.3f} GHz = {peak / 1e12:.1f} TFLOP/s in FP32, a copy of "
        f"{source.nbytes / 2**20:.0f} MiB at {bandwidth / 1e12:.2f} TB/s"
    )
    return Device(text, peak, bandwidth)


def ask_smi(what):
    """Ask the driver's tool, which changes nothing."""
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "unknown to nvidia-smi"
    return answer.stdout.splitlines()[0].strip()


def version_of(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


class Row(NamedTuple):
    """What was timed of a case: seconds of each repeat by name, and {name: (column, tf32)}."""

    label: str
    n_samples: int
    flops: float
    n_bytes: float
    times: dict[str, list[float]]
    columns: dict[str, tuple[str, bool]]
    in_kernels: float
    goals: dict[str, float]

    def cells(self, device, tf32):
        """Cells of the table: with everybody's float32 products, or with the rivals' TF32."""
        others = {
            column: median(self.times[name])
            for name, (column, is_tf32) in self.columns.items()
            if is_tf32 == tf32 and name in self.times
        }
        repeats = self.times["fastbp GPU"]
        own = median(repeats)
        if math.isnan(own):
            ratios = ["simulated" if column in others else "" for column in COLUMNS]
            cells, limits = ["simulated"] * 4, ["simulated"] * 2
        else:
            goals = {} if tf32 else self.goals
            ratios = [ratio(others.get(column), own, goals.get(column)) for column in COLUMNS]
            limit, kind = device.limit(self.flops, self.n_bytes)
            spread, in_kernels = (max(repeats) - min(repeats)) / own, self.in_kernels / own
            cells = [f"{number(1e3 * own)} ms", f"{self.n_samples / own:.3g}"]
            cells += [f"{100 * spread:.0f} %", f"{100 * in_kernels:.0f} %"]
            limits = [f"{number(1e3 * limit)} ms ({kind})", number(own / limit)]
        if tf32:
            return [self.label, "TF32, default", "", "", "", "", *ratios, "", ""]
        return [self.label, "float32", *cells, *ratios, *limits]


class Bench:
    """The cases, one after another, and what came of them."""

    def __init__(self, sizes, is_simulated, is_quick, minutes, with_compile):
        self.sizes, self.is_simulated = sizes, is_simulated
        self._rounds, self._seconds = (3, 0.5) if is_quick else (9, 3.0)
        self._end = time.perf_counter() + 60 * minutes
        self.rows, self.failures, self.overhead = [], [], ""
        self.gpu, self.cpu = Fastbp("cuda"), Fastbp("cpu")
        self.everybody = [self.gpu, self.cpu]
        self.everybody += [*self._load("torch", with_compile), *self._load("jax")]
        self.device = measure_device(is_simulated)

    def _load(self, package, *options):
        """Ways to compute by a package, none where it or its GPU is missing."""
        try:
            return importlib.import_module(f"rivals.{package}_cuda").ways(*options)
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
            self._attempt(label, self._adam, case._replace(batch_size=batch_size), X, y)
        self._attempt(f"loss and gradient, {case.net_name}", self._gradient, case, X, y)
        self._attempt(f"predict, {case.net_name}", self._prediction, case, X)
        for orders in ORDERS:
            label = f"{sizes.n_networks} x {sizes.many.net_name} online, {orders}"
            self._attempt(label, self._many, orders)
        self._attempt("overhead of a fit", self._fit)

    def _attempt(self, label, run, *arguments):
        """Run a case unless there is no time left; an error in it ends it alone."""
        self._label = label
        print(f"\n{label}", flush=True)
        if time.perf_counter() > self._end:
            self._fail("left out, the time is over")
            return
        try:
            run(*arguments)
        except Exception as error:
            traceback.print_exc()
            self._fail(_line(error))

    def _fail(self, text):
        print(f"  FAILED: {text}", flush=True)
        self.failures.append(f"{self._label}: {text}")

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
        agreeing = self._agreeing(
            what, self.everybody, trained, trained(self.cpu), TRAINED, MOST_ADAM
        )
        if self.gpu not in agreeing:
            return
        self._same_bits(what, trained(self.gpu), trained(self.gpu))
        runs = self._runs(agreeing, lambda each: each.epochs(case, X, y, ADAM)[0])
        self._time(case, training_flops(case.sizes), runs, ADAM_GOALS)
        if not self.is_simulated:
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
            agreeing = self._agreeing(
                what, agreeing, partial(gradient, dtype=dtype, n=n),
                gradient(self.cpu, np.float64, n), digits,
            )  # fmt: skip
        if self.gpu not in agreeing:
            return
        runs = self._runs(agreeing, lambda each: partial(each.gradient(case, X, y), start))
        self._same_bits("gradient", *(runs[self.gpu]()[1] for _ in range(2)))
        self._time(case, training_flops(case.sizes), runs)

    def _prediction(self, case, X):
        """Predictions of all rows."""
        start, _ = start_of(case)
        agreeing = self._agreeing(
            "predictions",
            [each for each in self.everybody if not each.only_trains],
            lambda each: each.prediction(case, X)(start),
            self.cpu.prediction(case, X.astype(np.float64))(start.astype(np.float64)),
            PREDICTED,
        )
        if self.gpu in agreeing:
            runs = self._runs(agreeing, lambda each: partial(each.prediction(case, X), start))
            self._time(case, prediction_flops(case.sizes), runs)

    def _many(self, orders):
        """Networks side by side, online, for an epoch."""
        case, n = self.sizes.many, self.sizes.n_networks
        data, leg = as_data(*make_data(case, np.float32)), Leg(SGD, NO_PATIENCE, 1)
        n_orders, order = ORDERS[orders]
        with ExitStack() as stack:

            def shuffles(on_device):
                each = [order(seed, case.n_rows, on_device) for seed in range(n)]
                return [stack.enter_context(one) for one in each]

            walks = walks_of(case, data, shuffles(False))

            def trained(each):
                """Parameters of some after an epoch; the same again for the same arguments."""
                if each is self.cpu:
                    go_on(walks, leg)
                    return np.concatenate([walks[i].parameters for i in some])
                fleet = fleet_of(case, data, shuffles(True))
                fleets.append(fleet)
                fleet.epochs(dict.fromkeys(range(n), leg))
                return np.concatenate([fleet.parameters(i) for i in some])

            some, fleets = (0, n // 2, n - 1), []
            what = "parameters of three networks after an epoch"
            if not self._agreeing(what, [self.gpu], trained, trained(self.cpu), TRAINED):
                return
            self._same_bits(what, trained(self.gpu), trained(self.gpu))
            runs = {
                self.gpu: partial(fleets[0].epochs, dict.fromkeys(range(n), leg)),
                self.cpu: partial(go_on, walks, leg),
            }
            self._time(case, training_flops(case.sizes), runs, MANY_GOALS, n, n_orders(n))

    def _fit(self):
        """What a fit costs besides its epochs."""
        case = self.sizes.fit
        X, y = make_data(case, np.float32)
        on_gpu = partial(BackpropRegressor, device="cuda")
        gpu, cpu = (fit(each, case, X, y, 1).coefs_ for each in (on_gpu, BackpropRegressor))
        gpu, cpu = (np.concatenate([coef.ravel() for coef in coefs]) for coefs in (gpu, cpu))
        what = f"weights after an epoch of {case.net_name}"
        if not self._agreeing(what, [self.gpu], lambda _: gpu, cpu, TRAINED, MOST_ADAM):
            return
        runs = {n: partial(fit, on_gpu, case, X, y, n) for n in (1, 11)}
        for run in runs.values():
            run()
        short, long = (1e3 * median(times) for times in self._interleaved(runs).values())
        shown = f"{short - (long - short) / 10:.1f} ms; {short:.1f} ms for 1 and {long:.1f} for 11"
        self.overhead = (
            f"A fit costs {'(simulated)' if self.is_simulated else shown}, its epochs not counted "
            f"({case.net_name}, {case.n_rows} rows, batches of {case.batch_size}; goal {FIT_GOAL})."
        )
        print(f"  {self.overhead}", flush=True)

    def _agreeing(self, what, candidates, compute, expected, digits, most=1):
        """Those whose result agrees with what is expected; who does not is named.

        If ``most`` is more than 1, one entry in a thousand may be so many times as far off.
        """
        agree, said, largest = [], [], np.abs(expected).max()
        for each in candidates:
            allowed = max(digits, TF32) if each.tf32 and not self.is_simulated else digits
            try:
                difference = np.abs(compute(each) - expected).ravel() / largest
            except Exception as error:
                self._fail(f"{what}: {each.name}: {_line(error)}")
                continue
            said.append(f"{each.name} {difference.max():.1e}")
            usual = np.quantile(difference, 0.999 if most > 1 else 1)
            if usual <= allowed and difference.max() <= most * allowed:
                agree.append(each)
            else:
                self._fail(f"{what}: {each.name} is off by {difference.max():.2g} of the largest")
        print(f"  {what}, to {digits:g}: {', '.join(said)}", flush=True)
        return agree

    def _same_bits(self, what, first, second):
        if np.array_equal(first, second):
            print("  two runs on the GPU: the same bits", flush=True)
        else:
            self._fail(f"{what}: two runs on the GPU differ")

    def _runs(self, candidates, make):
        """Make everybody's run and warm it up; who cannot is named."""
        runs = {}
        for each in candidates:
            try:
                runs[each] = make(each)
                runs[each]()
            except Exception as error:
                if each is self.gpu:
                    raise
                runs.pop(each, None)
                self._fail(f"{each.name} cannot run: {_line(error)}")
        return runs

    def _interleaved(self, runs):
        """Seconds of each repeat, in turns; who has had its time leaves after three."""
        if self.is_simulated:
            return {name: [math.nan] for name in runs}
        times: dict[Any, list[float]] = {name: [] for name in runs}
        for _ in range(self._rounds):
            for name, run in runs.items():
                if len(times[name]) < 3 or sum(times[name]) < self._seconds:
                    times[name].append(seconds(run))
        return times

    def _time(self, case, flops, runs, goals=MappingProxyType({}), n_networks=1, n_orders=1):
        """Time a case of so many flops a sample, and say in a line what came of it."""
        times = self._interleaved(runs)
        n_samples, (n_in, *_, n_out) = n_networks * case.n_rows, case.sizes
        row = Row(
            self._label,
            n_samples,
            flops * n_samples,
            4 * (n_in + n_out + n_orders) * case.n_rows,
            {each.name: repeats for each, repeats in times.items()},
            {each.name: (each.column, each.tf32) for each in runs},
            math.nan if self.is_simulated else seconds_in_kernels(runs[self.gpu]),
            goals,
        )
        self.rows.append(row)
        cells = zip(HEADS[2:], row.cells(self.device, False)[2:], strict=True)
        print("  " + ", ".join(f"{head} {cell}" for head, cell in cells if cell), flush=True)

    def describe(self):
        """Print on what all this was measured, and when."""
        packages = ["numba-cuda", "torch", "jax"]
        versions = ", ".join(f"{package} {version_of(package)}" for package in packages)
        print(f"{machine.line()[:-1]}, {CORES} cores.\n{versions}.\n{self.device.text}.")
        print(f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.")

    def print_tables(self):
        """Print what goes into RESULTS.md."""
        print("\n## On a GPU\n")
        self.describe()
        rows = []
        for row in self.rows:
            rows.append(row.cells(self.device, False))
            if any(is_tf32 and name in row.times for name, (_, is_tf32) in row.columns.items()):
                rows.append(row.cells(self.device, True))
        used = [i for i, head in enumerate(HEADS) if head not in COLUMNS or any(r[i] for r in rows)]
        print()
        table([HEADS[i] for i in used], [[row[i] for i in used] for row in rows])
        print(self.overhead)
        if self.failures:
            print("\nFailed or left out:\n\n- " + "\n- ".join(self.failures))


def _line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def fleet_of(case, data, shuffles):
    """Networks on the device, each from a seed of its own."""
    from fastbp.device_table import DeviceTables
    from fastbp.fleet import Fleet, Member

    members = [
        Member(case.network, 0, case.alpha, 1, *start_of(case, seed), each)
        for seed, each in enumerate(shuffles)
    ]
    return Fleet(members, DeviceTables([data]), SGD.kind, CORES)


def walks_of(case, data, shuffles):
    """Give the same networks for the CPU."""
    walks = []
    for seed, each in enumerate(shuffles):
        start, moments = start_of(case, seed)
        walks.append(Objective(case.network, data, case.alpha).walk(start, 1, SGD, moments, each))
    return walks


def go_on(walks, leg):
    """Take every network through an epoch, one thread a core."""

    def walk_on(walk):
        walk.epochs(leg)
        yield

    run_all(walk_on, walks, CORES)


@contextmanager
def launches_timed():
    """Wait for every launch, and add up what they take."""
    from fastbp.machine import gpu

    plain, taken = gpu.launch, []

    def launch(*arguments: Any) -> None:
        gpu.synchronise()
        taken.append(seconds(lambda: (plain(*arguments), gpu.synchronise())))

    gpu.launch = launch
    try:
        yield taken
    finally:
        gpu.launch = plain


def seconds_in_kernels(run):
    """Seconds that launched kernels take of a call."""
    sums = []
    for _ in range(3):
        with launches_timed() as taken:
            run()
        sums.append(sum(taken))
    return median(sums)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--try-out", action="store_true", help="tiny sizes, which time nothing")
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too")
    parser.add_argument("--minutes", type=float, default=8.5, help="begin no case after so many")
    options = parser.parse_args()
    reason = why_no_gpu()
    if reason is not None:
        print(
            f"bench_cuda.py needs a GPU, but {reason}. With NUMBA_ENABLE_CUDASIM=1 and --try-out "
            "it checks everything in numba's simulator."
        )
        return 2
    from fastbp.machine.gpu import SIMULATED

    if SIMULATED and not options.try_out:
        print("numba's simulator measures nothing and takes years: add --try-out.")
        return 2
    sizes = TINY if options.try_out else Sizes()
    bench = Bench(sizes, SIMULATED, options.quick, options.minutes, options.compile)
    bench.describe()
    if SIMULATED:
        print("The simulator measures nothing: there are no times in what follows.")
    elif options.try_out:
        print("A try-out: the sizes are tiny, and their times say nothing.")
    bench.run()
    bench.print_tables()
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
