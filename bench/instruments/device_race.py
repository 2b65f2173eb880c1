"""How `tables/cuda.py` races: who computes the same is timed, in turns; the tables of all cases."""

import datetime
import math
import time
import traceback
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from bench.instruments import machine
from bench.instruments.device_launches import seconds_in_kernels
from bench.instruments.device_limits import measure_device
from bench.instruments.markdown import number, ratio, table
from bench.instruments.timing import seconds
from bench.rivals.fastbp_cuda import CORES

__all__ = ["Race"]

TF32 = 5e-2  # how far off who multiplies in it may be
COLUMNS = ["fastbp CPU", "torch eager", "torch graph", "torch graph, compiled", "JAX"]
HEADS = ["case", "products", "fastbp GPU", "samples/s", "spread", "in kernels", *COLUMNS]
HEADS += ["limit", "over limit"]


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


class Race:
    """Cases, one after another, and what came of them; fastbp on the GPU is whose race it is."""

    def __init__(self, own, is_simulated, is_quick, minutes):
        self.own, self.is_simulated = own, is_simulated
        self._rounds, self._seconds = (3, 0.5) if is_quick else (9, 3.0)
        self._end = time.perf_counter() + 60 * minutes
        self._label, self._rows, self.failures, self._notes = "", [], [], []

    @cached_property
    def _device(self):
        return measure_device(self.is_simulated)

    def attempt(self, label, run, *arguments):
        """Run a case unless there is no time left; an error in it ends it alone."""
        self._label = label
        print(f"\n{label}", flush=True)
        if time.perf_counter() > self._end:
            self.fail("left out, the time is over")
            return
        try:
            run(*arguments)
        except Exception as error:
            traceback.print_exc()
            self.fail(_line(error))

    def fail(self, text):
        """Say that something of this case failed, and remember it."""
        print(f"  FAILED: {text}", flush=True)
        self.failures.append(f"{self._label}: {text}")

    def note(self, text):
        """Say a sentence that is no row of the table, and remember it."""
        print(f"  {text}", flush=True)
        self._notes.append(text)

    def agreeing(self, what, candidates, compute, expected, digits, most=1):
        """Those whose result agrees with what is expected; who does not is named.

        If ``most`` is more than 1, one entry in a thousand may be so many times as far off.
        """
        agree, said, largest = [], [], np.abs(expected).max()
        for each in candidates:
            allowed = max(digits, TF32) if each.tf32 and not self.is_simulated else digits
            try:
                difference = np.abs(compute(each) - expected).ravel() / largest
            except Exception as error:
                self.fail(f"{what}: {each.name}: {_line(error)}")
                continue
            said.append(f"{each.name} {difference.max():.1e}")
            usual = np.quantile(difference, 0.999 if most > 1 else 1)
            if usual <= allowed and difference.max() <= most * allowed:
                agree.append(each)
            else:
                self.fail(f"{what}: {each.name} is off by {difference.max():.2g} of the largest")
        print(f"  {what}, to {digits:g}: {', '.join(said)}", flush=True)
        return agree

    def same_bits(self, what, first, second):
        """Two runs must end at the same bits."""
        if np.array_equal(first, second):
            print("  two runs on the GPU: the same bits", flush=True)
        else:
            self.fail(f"{what}: two runs on the GPU differ")

    def warmed_up(self, candidates, make):
        """Make everybody's run and warm it up; who cannot is named."""
        runs = {}
        for each in candidates:
            try:
                runs[each] = make(each)
                runs[each]()
            except Exception as error:
                if each is self.own:
                    raise
                runs.pop(each, None)
                self.fail(f"{each.name} cannot run: {_line(error)}")
        return runs

    def seconds_of(self, runs):
        """Seconds of each repeat, in turns; who has had its time leaves after three."""
        if self.is_simulated:
            return {name: [math.nan] for name in runs}
        times: dict[Any, list[float]] = {name: [] for name in runs}
        for _ in range(self._rounds):
            for name, run in runs.items():
                if len(times[name]) < 3 or sum(times[name]) < self._seconds:
                    times[name].append(seconds(run))
        return times

    def measure(self, case, flops, runs, goals=MappingProxyType({}), n_networks=1, n_orders=1):
        """Time a case of so many flops a sample, and say in a line what came of it."""
        times = self.seconds_of(runs)
        n_samples, (n_in, *_, n_out) = n_networks * case.n_rows, case.sizes
        row = Row(
            self._label,
            n_samples,
            flops * n_samples,
            4 * (n_in + n_out + n_orders) * case.n_rows,
            {each.name: repeats for each, repeats in times.items()},
            {each.name: (each.column, each.tf32) for each in runs},
            math.nan if self.is_simulated else seconds_in_kernels(runs[self.own]),
            goals,
        )
        self._rows.append(row)
        cells = zip(HEADS[2:], row.cells(self._device, False)[2:], strict=True)
        print("  " + ", ".join(f"{head} {cell}" for head, cell in cells if cell), flush=True)

    def describe(self):
        """Print on what all this was measured, and when."""
        packages = ["numba-cuda", "torch", "jax"]
        versions = ", ".join(f"{package} {_version_of(package)}" for package in packages)
        print(f"{machine.line()[:-1]}, {CORES} cores.\n{versions}.\n{self._device.text}.")
        print(f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.")

    def print_tables(self):
        """Print what goes into RESULTS.md."""
        print("\n## On a GPU\n")
        self.describe()
        rows = []
        for row in self._rows:
            rows.append(row.cells(self._device, False))
            if any(is_tf32 and name in row.times for name, (_, is_tf32) in row.columns.items()):
                rows.append(row.cells(self._device, True))
        used = [i for i, head in enumerate(HEADS) if head not in COLUMNS or any(r[i] for r in rows)]
        print()
        table([HEADS[i] for i in used], [[row[i] for i in used] for row in rows])
        print("\n".join(self._notes))
        if self.failures:
            print("\nFailed or left out:\n\n- " + "\n- ".join(self.failures))


def _version_of(package):
    """Which version of a package is installed, if any is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
