"""BLAS is held to one thread while a solver runs, and put back whatever happens."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fastbp.machine.blas import one_blas_thread
from helpers.surfaces import minimise, watched, weighted_problem


def n_threads():
    """Threads of every BLAS that is loaded."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        if n_threads() != {2}:
            pytest.skip("this BLAS has one thread")
        yield


def test_it_is_put_back_after_an_error():
    with pytest.raises(KeyError), one_blas_thread():
        assert n_threads() == {1}
        raise KeyError
    assert n_threads() == {2}


def test_the_last_of_several_threads_puts_it_back():
    inside, go_on = threading.Event(), threading.Event()

    def stay():
        with one_blas_thread():
            inside.set()
            go_on.wait(timeout=60)

    other = threading.Thread(target=stay)
    with one_blas_thread():
        other.start()
        assert inside.wait(timeout=60)
    try:
        assert n_threads() == {1}
    finally:
        go_on.set()
        other.join()
    assert n_threads() == {2}


@pytest.mark.parametrize("solver", ["lm", "bfgs", "lbfgs"])
def test_a_solver_runs_with_one_thread_and_leaves_two(solver, rng):
    seen = []

    def look(call, parameters, *answer):
        seen.append(n_threads())
        return answer

    objective, start = weighted_problem(rng, np.float64)
    minimise(solver, watched(objective, look), start, max_iter=3)
    assert seen
    assert all(each == {1} for each in seen)
    assert n_threads() == {2}
