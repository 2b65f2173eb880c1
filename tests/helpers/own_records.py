"""Activations and losses as a user would write them, at the top level of a module."""

from fastbp import Activation, Loss, elementary
from fastbp.machine.elementary import tanh, where


def gauss(z):
    return elementary.exp(-z * z)


def gauss_slope(z, a):
    return -2 * z * a


def wrong_slope(z, a):
    return -2.01 * z * a


def cubed(prediction, y, parameter):
    size = abs(prediction - y)
    return size * size * size / 3


def cubed_gradient(prediction, y, parameter):
    error = prediction - y
    return error * abs(error)


def relative(prediction, y, parameter):
    error = prediction - y
    return error * error / y


def relative_gradient(prediction, y, parameter):
    return 2 * (prediction - y) / y


def my_tanh(z):
    return tanh(z)


def my_tanh_slope(z, a):
    return 1 - a * a


def hinge(z):
    return where(z < 0, 0, z)


def hinge_slope(z, a):
    return where(a == 0, 0, elementary.one(a))


GAUSS = Activation("gauss", gauss, gauss_slope)
MY_TANH = Activation("my tanh", my_tanh, my_tanh_slope)
HINGE = Activation("hinge", hinge, hinge_slope)
CUBED = Loss("cubed", cubed, cubed_gradient)
RELATIVE = Loss("relative", relative, relative_gradient)
