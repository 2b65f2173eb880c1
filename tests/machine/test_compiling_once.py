"""Of processes that miss the same code, one compiles it, and the others wait and load it.

The first tests lock files as another process would: a second opening of a file is as foreign.
"""

import errno
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import fastbp
from fastbp.machine import compiling_once
from fastbp.machine.compiler import COMPILING
from fastbp.machine.compiling_once import load_or_compile, missed

if os.name != "posix":
    pytest.skip("files are locked on POSIX alone", allow_module_level=True)
import fcntl

PACKAGE = Path(fastbp.__file__).parent


class Code:
    """What a cache holds of one kernel; and how often it was looked for, and compiled."""

    def __init__(self, folder):
        self.lock_file, self.is_there, self.looks, self.compiles = folder / "k.lock", False, 0, 0

    @COMPILING
    def load_or_compile(self):
        self.looks += 1
        if not self.is_there:
            missed(self.lock_file)
            self.compiles += 1
            self.is_there = True
        return "code"


@pytest.fixture
def code(tmp_path):
    return Code(tmp_path)


@contextmanager
def locked_by_another(lock_file, then=lambda: None, seconds=0.2):
    """Lock a file, and give it back after a while, from another thread."""

    def give_back():
        then()
        file.close()

    with open(lock_file, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(seconds, give_back)
        timer.start()
        yield
        timer.join()


def test_what_is_there_is_loaded_without_a_lock(code):
    code.is_there = True
    assert load_or_compile(code.load_or_compile) == "code"
    assert (code.looks, code.compiles) == (1, 0)
    assert not code.lock_file.exists()


def test_what_nobody_compiles_is_compiled(code):
    assert load_or_compile(code.load_or_compile) == "code"
    assert (code.looks, code.compiles) == (2, 1)  # the second under the lock


def test_what_another_compiles_is_waited_for_and_loaded(code):
    with locked_by_another(code.lock_file, then=lambda: setattr(code, "is_there", True)):
        assert load_or_compile(code.load_or_compile) == "code"
    assert code.compiles == 0


def test_it_is_loaded_as_soon_as_it_is_there(code):
    """The lock is then still another's: a hundred processes load at the same time."""
    with open(code.lock_file, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(0.1, setattr, (code, "is_there", True))
        timer.start()
        assert load_or_compile(code.load_or_compile) == "code"
        timer.join()
    assert code.compiles == 0


def test_what_another_has_failed_to_compile_is_compiled(code):
    with locked_by_another(code.lock_file):
        assert load_or_compile(code.load_or_compile) == "code"
    assert code.compiles == 1


def test_another_that_hangs_is_not_waited_for_for_ever(code, monkeypatch):
    monkeypatch.setattr(compiling_once, "LIMIT", 0.1)
    with open(code.lock_file, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert load_or_compile(code.load_or_compile) == "code"
    assert code.compiles == 1


def test_a_lock_file_that_lies_about_says_nothing(code):
    code.lock_file.write_text("1")
    os.utime(code.lock_file, (0, 0))
    assert load_or_compile(code.load_or_compile) == "code"
    assert (code.looks, code.compiles) == (2, 1)


def test_where_no_file_can_be_made_everybody_compiles(code):
    code.lock_file = code.lock_file.parent / "none" / "k.lock"
    assert load_or_compile(code.load_or_compile) == "code"
    assert (code.looks, code.compiles) == (2, 1)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_where_files_cannot_be_locked_everybody_compiles(code, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert load_or_compile(code.load_or_compile) == "code"
    assert (code.looks, code.compiles) == (2, 1)


def test_on_windows_everybody_compiles(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "fcntl", None)  # whoever imports it fails
    spec = importlib.util.spec_from_file_location("as_on_windows", compiling_once.__file__)
    there = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(there)
    looks = []

    def look_or_compile():
        looks.append("look")
        there.missed(tmp_path / "k.lock")
        return "code"

    with locked_by_another(tmp_path / "k.lock"):
        assert there.load_or_compile(look_or_compile) == "code"
    assert len(looks) == 2


def test_what_fails_to_compile_gives_the_lock_back(code):
    def fail():
        missed(code.lock_file)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load_or_compile(fail)
    with open(code.lock_file) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert load_or_compile(code.load_or_compile) == "code"


def test_who_compiles_one_thing_does_not_wait_for_another(code, tmp_path):
    """Of two that each hold what the other waits for, both would wait for ever."""
    inner = Code(tmp_path / "none")
    inner.lock_file = tmp_path / "inner.lock"

    def both():
        missed(code.lock_file)
        return load_or_compile(inner.load_or_compile)

    with open(inner.lock_file, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert load_or_compile(both) == "code"
    assert inner.compiles == 1


def test_other_threads_compile_while_one_waits(code, tmp_path):
    other = Code(tmp_path)
    other.lock_file = tmp_path / "other.lock"
    with locked_by_another(code.lock_file, then=lambda: setattr(code, "is_there", True)):
        waiting = threading.Thread(target=load_or_compile, args=(code.load_or_compile,))
        waiting.start()
        while not code.looks:
            time.sleep(0.01)
        assert load_or_compile(other.load_or_compile) == "code"
        assert not code.is_there
        waiting.join()
    assert (code.compiles, other.compiles) == (0, 1)


def test_threads_of_one_process_compile_once(code):
    threads = [
        threading.Thread(target=load_or_compile, args=(code.load_or_compile,)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert code.compiles == 1


@pytest.fixture
def ctrl_c_interrupts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_ends_the_waiting(code):
    with open(code.lock_file, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            load_or_compile(code.load_or_compile)
        timer.join()
    assert load_or_compile(code.load_or_compile) == "code"  # and it is as if it had not been


# The smallest kernel and its loops; each piece of code that this process compiles is a line.
COMPILE = """
import sys, time
import numpy as np
from fastbp import Network
from fastbp.backends.cpu import kernels
from fastbp.backends.cpu.layout import layout_of
from fastbp.machine import cache, compiling_once
class LoudClock:
    monotonic = time.monotonic
    def sleep(seconds):
        print("waits", flush=True)
        time.sleep(seconds)
compiling_once.time = LoudClock
save = cache._KernelCache.save_overload
def save_loudly(self, sig, data):
    print("compiled", flush=True)
    if "hang" in sys.argv:
        time.sleep(600)
    save(self, sig, data)
cache._KernelCache.save_overload = save_loudly
network = Network((3, 4, 1))
parameters = np.linspace(-1, 1, network.n_parameters)
layout, gradient = layout_of(network, np.float64), np.ones_like(parameters)
print("result", repr(kernels.penalise(layout.n_weights, parameters, gradient, 0.5, 2.0)))
"""


def started(cache, *arguments):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", COMPILE, *arguments],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def lines_of(process):
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output.splitlines()


@pytest.mark.subprocess
def test_processes_that_all_start_cold_compile_everything_once(tmp_path):
    processes = [started(tmp_path) for _ in range(6)]
    lines = [line for process in processes for line in lines_of(process)]
    files = list(tmp_path.rglob("*.nbc"))
    assert len(files) > 3
    assert lines.count("compiled") == len(files)
    (result,) = {line for line in lines if line.startswith("result")}
    assert lines.count(result) == 6


@pytest.mark.subprocess
def test_a_process_that_is_killed_while_it_compiles_holds_nobody_up(tmp_path):
    hanging = started(tmp_path, "hang")
    assert hanging.stdout.readline() == "compiled\n"
    waiting = started(tmp_path)
    assert waiting.stdout.readline() == "waits\n"
    hanging.kill()
    hanging.communicate(timeout=60)
    lines = lines_of(waiting)
    assert lines.count("compiled") == len(list(tmp_path.rglob("*.nbc"))) > 3
    assert lines[-1].startswith("result")


@pytest.mark.subprocess
def test_a_fork_while_a_thread_waits_hangs_neither(python, tmp_path):
    code = """
import fcntl, os, sys, threading, time, warnings
from pathlib import Path
from fastbp.machine.compiling_once import load_or_compile, missed
warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
looks, compiles = [], []
def work():
    looks.append(1)
    missed(Path("k.lock"))
    compiles.append(1)
with open("k.lock", "wb") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    thread = threading.Thread(target=load_or_compile, args=(work,))
    thread.start()
    while not looks:
        time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        load_or_compile(lambda: missed(Path("other.lock")))
        os._exit(len(compiles))
    print(os.waitpid(pid, 0)[1], len(compiles))
    fcntl.flock(file, fcntl.LOCK_UN)
    thread.join()
print(len(compiles))
"""
    assert python(code, timeout=120).split() == ["0", "0", "1"]
