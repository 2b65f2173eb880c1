"""Libraries that are installed train as fastbp does; those that are not say what is missing."""

import importlib.util

import pytest

from bench.instruments.timing import check_epoch
from bench.rivals import LIBRARIES, available, compiling
from bench.tables import libraries


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_epoch_leads_to_the_same_weights(name):
    if LIBRARIES[name].missing() is not None:
        pytest.skip(LIBRARIES[name].missing())
    races = list(libraries.races(name))
    assert races
    for case, dtype in races:
        check_epoch(case, dtype, ("fastbp", name))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_absent_is_left_out(monkeypatch, name):
    monkeypatch.setattr(compiling.shutil, "which", lambda compiler: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    assert "no C" in LIBRARIES[name].missing() or "not installed" in LIBRARIES[name].missing()
    assert list(libraries.races(name)) == []


def test_what_is_missing_is_named():
    if compiling.compiler(".cpp") is None:
        pytest.skip("no C++ compiler")
    assert compiling.missing_parts(("cstdio",), "-lm") is None
    assert compiling.missing_parts(("no/such.h",)) == "no/such.h is not installed"
    assert compiling.missing_parts((), "-lno-such") == "libno-such is not installed"


def test_only_rivals_that_are_named_are_given():
    case, dtype = next(iter(libraries.races("fastbp")))
    assert list(available(case, dtype, ("fastbp",))) == ["fastbp"]
    assert not LIBRARIES.keys() & available(case, dtype).keys()
