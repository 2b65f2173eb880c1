"""Threads of our own: pieces are drawn as they are needed, and no thread stays for nothing."""

import threading
import time

import pytest

from fastbp.machine.threads import is_worth_threads, run_all, run_slabs, run_team


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_every_piece_is_done_once(n_threads):
    done = []

    def task(piece):
        done.append(piece)
        yield

    run_all(task, range(50), n_threads)
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_pieces_are_drawn_when_a_thread_is_free(n_threads):
    drawn, done, stop = [], [], threading.Event()

    def pieces():
        while True:  # for ever
            drawn.append(len(drawn))
            assert len(drawn) <= len(done) + n_threads
            yield drawn[-1]

    def task(piece):
        done.append(piece)
        if piece == 20:
            stop.set()
        yield

    run_all(task, pieces(), n_threads, stop)
    assert len(drawn) <= 20 + n_threads


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_an_error_ends_the_others_and_is_raised(n_threads):
    begun = []

    def task(piece):
        begun.append(piece)
        if piece == 3:
            raise ValueError("the third")
        yield
        time.sleep(0.001)
        yield

    with pytest.raises(ValueError, match="the third"):
        run_all(task, range(1000), n_threads)
    assert len(begun) < 1000


@pytest.mark.parametrize("n_threads", [1, 3])
def test_pieces_that_cannot_be_drawn_are_an_error(n_threads):
    def pieces():
        yield 0
        raise MemoryError("of the second")

    def task(piece):
        yield

    with pytest.raises(MemoryError, match="of the second"):
        run_all(task, pieces(), n_threads)


def test_ctrl_c_in_a_thread_is_raised_whatever_else_went_wrong():
    barrier = threading.Barrier(2)

    def task(piece):
        barrier.wait()
        if piece == 1:
            raise KeyboardInterrupt
        time.sleep(0.05)
        raise ValueError
        yield

    with pytest.raises(KeyboardInterrupt):
        run_all(task, range(2), 2)


def test_threads_are_shared_by_all_numbers_of_them():
    def nap(piece):
        time.sleep(0.001)
        yield

    before = threading.active_count()
    for n_threads in range(1, 11):
        run_all(nap, range(20), n_threads)
    assert threading.active_count() <= before + 9  # the most that were ever busy beside this one


def test_a_table_of_one_call_goes_through_no_pool(monkeypatch):
    monkeypatch.setattr("fastbp.machine.threads.run_all", None)
    seen = []

    def task(calls):
        seen.extend(calls)
        yield

    run_slabs(task, 10, 1.0, 1)
    assert seen == [slice(0, 10)]


def test_few_rows_are_not_worth_threads():
    assert not is_worth_threads(200, 1200)
    assert is_worth_threads(20_000, 1200)


def test_any_number_of_threads_may_be_asked_for():
    """As a file that is loaded may ask for; no more are made than there are pieces."""
    done = []

    def task(piece):
        done.append(piece)
        yield

    run_all(task, range(3), 2**62)
    assert sorted(done) == [0, 1, 2]


def test_a_leader_gets_helpers_and_all_leave_with_it():
    leave, came = threading.Event(), []

    def assist(number):
        came.append(number)
        leave.wait(10)

    def lead():
        while len(came) < 3:
            time.sleep(0.001)
        return "done"

    assert run_team(lead, assist, 3, leave.set) == "done"
    assert sorted(came) == [1, 2, 3]


def test_helpers_are_dismissed_when_the_leader_fails_and_their_errors_raised():
    leave = threading.Event()

    def fail(_):
        raise ValueError("a helper's")

    def lead():
        raise KeyError("the leader's")

    with pytest.raises(KeyError, match="the leader's"):
        run_team(lead, lambda _: leave.wait(10), 2, leave.set)
    with pytest.raises(ValueError, match="a helper's"):
        run_team(lambda: time.sleep(0.2), fail, 1, leave.set)
