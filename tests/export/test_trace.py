"""`trace`: a plain function becomes the operations it is made of."""

import numpy as np
import pytest

from fastbp import Activation, elementary
from fastbp.export.trace import Operation, trace
from fastbp.machine.elementary import logistic
from fastbp.model.activations import ACTIVATIONS

DTYPE = np.dtype(np.float64)
FUNCTIONS = {
    "where": np.where,
    "ndtr": elementary.normal_cdf,
    "one": np.ones_like,
}


def _evaluate(operations, z):
    results = []
    for operation in operations:
        if operation.name == "input":
            results.append(z)
        elif operation.name == "constant":
            results.append(operation.constant)
        else:
            function = FUNCTIONS.get(operation.name) or getattr(np, operation.name)
            results.append(function(*(results[argument] for argument in operation.arguments)))
    return results[-1]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_operations_compute_what_the_function_does(name):
    z = np.linspace(-40, 40, 401)
    value = ACTIVATIONS[name].value
    operations = trace(value, DTYPE)
    np.testing.assert_array_equal(_evaluate(operations, z), value(z))
    assert np.isnan(_evaluate(operations, np.array([np.nan]))).all()


def test_what_is_computed_twice_is_there_once():
    operations = trace(lambda z: elementary.exp(z) / (1 + elementary.exp(z)), DTYPE)
    assert [operation.name for operation in operations] == [
        *("input", "exp", "constant", "add", "divide"),
    ]


def test_what_is_not_needed_is_left_out():
    def value(z):
        elementary.tanh(z)
        return -z

    assert trace(value, DTYPE) == [Operation("input"), Operation("negative", (0,))]


def test_a_known_function_is_one_operation():
    operations = trace(ACTIVATIONS["silu"].value, DTYPE, {"sigma": logistic})
    assert operations == [
        Operation("input"),
        Operation("sigma", (0,)),
        Operation("multiply", (0, 1)),
    ]


def test_constants_of_a_dtype_and_of_the_dtype_are_numbers():
    def value(z):
        return elementary.where(z < np.float64(1), elementary.tiny(z), 0.5 * elementary.one(z))

    assert (
        _evaluate(trace(value, DTYPE), np.array([0.0, 2.0])) == [DTYPE.type(2**-1022), 0.5]
    ).all()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (lambda z: z if z > 0 else 0, r"write where\(condition, a, b\)"),
        (np.cbrt, "cbrt is none of the functions"),
        (np.sum, "is none of the functions|sum"),
        (lambda z: z[0], "takes no part of an array"),
        (lambda z: np.clip(z, 0, 1), "clip is none of the functions|cannot be exported"),
    ],
)
def test_what_cannot_be_written_is_an_error_that_says_why(value, why):
    with pytest.raises(ValueError, match=rf"cannot be exported.*({why}).*fastbp\.elementary"):
        trace(value, DTYPE)


def test_an_error_names_the_users_function():
    def my_root(z):
        return np.cbrt(z)

    with pytest.raises(ValueError, match="'my_root' cannot be exported"):
        trace(Activation("root", my_root, my_root).value, DTYPE)
