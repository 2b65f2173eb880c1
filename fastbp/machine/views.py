"""Views of arrays for the inside of a kernel: an address, a shape and strides, and nothing else.

In Python these functions give NumPy views. Compiled, numba's arrays carry an owner whose references
are counted at every call, and making one checks bounds and asks a library function whether a
reshape needs a copy: 50 ns a view, as long as the arithmetic of a small layer. A ``View`` is four
or five numbers in registers. It holds no reference, so it is for the inside of a kernel, whose
caller holds the arrays: `jit.kernel` turns all arrays that come in, those in named tuples too, into
views.

A view can be asked for ``size``, ``shape`` and ``T``, and read and written at an index. Nothing
checks bounds.
"""

import operator
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils, config
from numba.core.datamodel import models
from numba.core.typing import signature
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_builtin,
    lower_getattr,
    register_model,
    type_callable,
)
from numba.np.arrayobj import make_array

from fastbp.machine.memory import address

__all__ = [
    "View",
    "borrow",
    "borrower",
    "columns",
    "matrix",
    "row",
    "stretch",
    "write_plan",
]


def matrix(vector: Any, start: int, m: int, n: int) -> Any:
    """View ``m * n`` numbers from ``start`` on as a row-major (m, n) matrix."""
    return vector[start : start + m * n].reshape(m, n)


def stretch(vector: Any, start: int, n: int) -> Any:
    """View ``n`` numbers from ``start`` on as a vector."""
    return vector[start : start + n]


def row(matrix: Any, i: int) -> Any:
    """View row ``i`` of a row-major matrix as a vector."""
    return matrix[i]


def columns(matrix: Any, start: int, n: int) -> Any:
    """View ``n`` columns of a matrix from ``start`` on as a matrix."""
    return matrix[:, start : start + n]


def borrow(arguments: Any) -> Any:
    """Turn the arrays among arguments, and in named tuples among them, into views."""
    return arguments


def write_plan(named_tuple: Any) -> Any:
    """Write down a named tuple of arrays, numbers and such tuples as one array of integers.

    A call from Python looks at every array of its arguments, a tenth of a microsecond each, and the
    code that does so is a seventh of a kernel's. So kernels take a plan of what stays where it is.
    The plan holds no reference: who keeps it keeps the arrays. Without a compiler it is the named
    tuple itself.
    """
    if config.DISABLE_JIT:
        return named_tuple
    return np.array(list(_numbers_of(named_tuple)), dtype=np.int64)


def _numbers_of(field: Any) -> Iterator[int]:
    if isinstance(field, np.ndarray):
        yield from (address(field), *field.shape)
    elif isinstance(field, tuple):
        for each in field:
            yield from _numbers_of(each)
    else:
        yield int(np.float64(field).view(np.int64)) if isinstance(field, float) else field


# The type, and what each function and operator means to the compiler.

_INDEX = ir.IntType(64)


class View(types.Type):
    """The compiler's type of a view: the type of its numbers, and 1 or 2 dimensions."""

    def __init__(self, dtype: types.Type, ndim: int) -> None:
        self.dtype, self.ndim = dtype, ndim
        super().__init__(name=f"View({dtype}, {ndim}d)")


class _Plan(types.NamedTuple):
    """The compiler's type of a named tuple that a kernel has made views of."""

    @property
    def key(self):
        return self.name  # numba's is a tuple of all types in it, which it hashes again and again


class _OneArgument:
    """Passes a structure as it is.

    numba would make an argument of each number, and put them together again: for the compiler a
    third of all instructions.
    """

    def get_argument_type(self):
        return self.get_value_type()

    def as_argument(self, builder, value):
        return value

    def from_argument(self, builder, value):
        return value


@register_model(View)
class _ViewModel(_OneArgument, models.StructModel):
    def __init__(self, dmm, fe_type):
        members = [("data", types.CPointer(fe_type.dtype)), ("length_0", types.intp)]
        if fe_type.ndim == 2:
            # Distances, in numbers, between rows and between columns.
            members += [(name, types.intp) for name in ("length_1", "stride_0", "stride_1")]
        super().__init__(dmm, fe_type, members)


@register_model(_Plan)
class _PlanModel(_OneArgument, models.TupleModel):
    pass


def new_view(context, builder, view, data, *numbers):
    """Make a view, of where its numbers begin and its lengths and strides."""
    struct = cgutils.create_struct_proxy(view)(context, builder)
    struct.data = data
    names = ("length_0", "length_1", "stride_0", "stride_1")
    for name, number in zip(names, numbers, strict=False):
        setattr(struct, name, number)
    return struct._getvalue()


def struct_of(context, builder, view, value):
    """Look into a view: .data, .length_0 and so on."""
    return cgutils.create_struct_proxy(view)(context, builder, value=value)


def _function(stub, result, emit, *argument_types):
    """Define a function of a view and integers: its result's type, and its instructions."""

    @type_callable(stub)
    def give_typer(context):
        def typer(view, *rest):
            if isinstance(view, View) and len(rest) == len(argument_types):
                return result(view)
            return None

        # numba looks at the names of a typer's parameters.
        arity = len(argument_types)
        return (
            None,
            lambda view, a: typer(view, a),
            lambda view, a, b: typer(view, a, b),
            lambda view, a, b, c: typer(view, a, b, c),
        )[arity]

    @lower_builtin(stub, View, *argument_types)
    def lower(context, builder, signature, arguments):
        view = signature.args[0]
        struct = struct_of(context, builder, view, arguments[0])
        return emit(context, builder, signature, struct, *arguments[1:])


def _emit_stretch(context, builder, signature, vector, start, n):
    return new_view(context, builder, signature.return_type, builder.gep(vector.data, [start]), n)


def _emit_matrix(context, builder, signature, vector, start, m, n):
    one = ir.Constant(n.type, 1)
    data = builder.gep(vector.data, [start])
    return new_view(context, builder, signature.return_type, data, m, n, n, one)


def _emit_row(context, builder, signature, matrix, i):
    data = builder.gep(matrix.data, [builder.mul(i, matrix.stride_0)])
    return new_view(context, builder, signature.return_type, data, matrix.length_1)


def _emit_columns(context, builder, signature, matrix, start, n):
    data = builder.gep(matrix.data, [builder.mul(start, matrix.stride_1)])
    numbers = matrix.length_0, n, matrix.stride_0, matrix.stride_1
    return new_view(context, builder, signature.return_type, data, *numbers)


_function(stretch, lambda view: View(view.dtype, 1), _emit_stretch, *[types.Integer] * 2)
_function(matrix, lambda view: View(view.dtype, 2), _emit_matrix, *[types.Integer] * 3)
_function(columns, lambda view: view, _emit_columns, *[types.Integer] * 2)
_function(row, lambda view: View(view.dtype, 1), _emit_row, types.Integer)


def _emit_transposed(context, builder, view, value):
    struct = struct_of(context, builder, view, value)
    lengths = struct.length_1, struct.length_0
    return new_view(context, builder, view, struct.data, *lengths, struct.stride_1, struct.stride_0)


def _emit_shape(context, builder, view, value):
    struct = struct_of(context, builder, view, value)
    lengths = (
        [struct.length_0, struct.length_1][: view.ndim] if view.ndim == 2 else [struct.length_0]
    )
    return context.make_tuple(builder, types.UniTuple(types.intp, view.ndim), lengths)


def _emit_size(context, builder, view, value):
    struct = struct_of(context, builder, view, value)
    if view.ndim == 1:
        return struct.length_0
    return builder.mul(struct.length_0, struct.length_1)


@infer_getattr
class _ViewAttributes(AttributeTemplate):
    key = View

    def resolve_size(self, view):
        return types.intp

    def resolve_shape(self, view):
        return types.UniTuple(types.intp, view.ndim)

    def resolve_T(self, view):
        return view if view.ndim == 2 else None


for _name, _emit in (("size", _emit_size), ("shape", _emit_shape), ("T", _emit_transposed)):
    lower_getattr(View, _name)(_emit)


def place_of(context, builder, view, value, index):
    """Address of the number at an index, an integer or a pair."""
    struct = struct_of(context, builder, view, value)
    if view.ndim == 1:
        return builder.gep(struct.data, [index])
    i, j = cgutils.unpack_tuple(builder, index)
    return builder.gep(
        struct.data, [builder.add(builder.mul(i, struct.stride_0), builder.mul(j, struct.stride_1))]
    )


def _is_index(view: View, index: Any) -> bool:
    if view.ndim == 1:
        return isinstance(index, types.Integer)
    return isinstance(index, types.UniTuple) and index.count == 2


@type_callable(operator.getitem)
def _type_getitem(context):
    def typer(view, index):
        return view.dtype if isinstance(view, View) and _is_index(view, index) else None

    return typer


@type_callable(operator.setitem)
def _type_setitem(context):
    def typer(view, index, value):
        if isinstance(view, View) and _is_index(view, index):
            return signature(types.none, view, index, view.dtype)
        return None

    return typer


@lower_builtin(operator.getitem, View, types.Any)
def _lower_getitem(context, builder, signature, arguments):
    return builder.load(place_of(context, builder, signature.args[0], *arguments))


@lower_builtin(operator.setitem, View, types.Any, types.Any)
def _lower_setitem(context, builder, signature, arguments):
    view, _, kind = signature.args
    value = context.cast(builder, arguments[2], kind, view.dtype)
    builder.store(value, place_of(context, builder, view, *arguments[:2]))
    return context.get_dummy_value()


def _borrowed_type(argument: types.Type) -> types.Type:
    if isinstance(argument, types.Array):
        return View(argument.dtype, argument.ndim)
    if isinstance(argument, types.BaseNamedTuple):
        members = [_borrowed_type(member) for member in argument.types]
        return _Plan(members, argument.instance_class)
    if isinstance(argument, types.BaseTuple):
        return types.Tuple([_borrowed_type(member) for member in argument.types])
    return types.unliteral(argument)


def _borrowed(context, builder, argument, value):
    if isinstance(argument, types.Array):
        array = make_array(argument)(context, builder, value)
        view = _borrowed_type(argument)
        lengths = cgutils.unpack_tuple(builder, array.shape)
        if view.ndim == 1:
            return new_view(context, builder, view, array.data, *lengths)
        one = ir.Constant(lengths[0].type, 1)
        return new_view(context, builder, view, array.data, *lengths, lengths[1], one)
    if isinstance(argument, types.BaseTuple):
        members = [
            _borrowed(context, builder, member, builder.extract_value(value, i))
            for i, member in enumerate(argument.types)
        ]
        return context.make_tuple(builder, _borrowed_type(argument), members)
    return context.cast(builder, value, argument, _borrowed_type(argument))


def _planned_type(hint: Any, number: types.Type) -> types.Type:
    """Give the type of a named tuple, or a field, whose arrays hold such floating-point numbers."""
    if hasattr(hint, "_fields"):
        fields = [_planned_type(each, number) for each in get_type_hints(hint).values()]
        return _Plan(fields, hint)
    if not get_args(hint):
        return from_dtype(np.dtype(hint))
    shape, scalar = get_args(hint)[0], get_args(get_args(hint)[1])[0]
    n_dimensions = 2 if get_args(shape) == (int, int) else 1
    return View(number if scalar is np.floating else from_dtype(np.dtype(scalar)), n_dimensions)


def _read_plan(context, builder, result, array, value):
    """Make a named tuple of views of what its plan says."""
    place = make_array(array)(context, builder, value).data

    def next_number(kind=_INDEX):
        nonlocal place
        number = builder.load(builder.bitcast(place, ir.PointerType(kind)))
        place = builder.gep(place, [ir.Constant(_INDEX, 1)])
        return number

    def read(field):
        if isinstance(field, types.BaseTuple):
            return context.make_tuple(builder, field, [read(each) for each in field.types])
        if not isinstance(field, View):
            return next_number(context.get_value_type(field))
        data = next_number(context.get_value_type(types.CPointer(field.dtype)))
        lengths = [next_number() for _ in range(field.ndim)]
        strides = [lengths[1], ir.Constant(_INDEX, 1)] if field.ndim == 2 else []
        return new_view(context, builder, field, data, *lengths, *strides)

    return read(result)


def borrower(plans: list[type | None]) -> Any:
    """Make a function that makes views of a kernel's arguments: of arrays, in named tuples too.

    Parameters
    ----------
    plans : list of (type or None)
        For each argument the named tuple that an array of integers in its place is the plan of.
    """
    if config.DISABLE_JIT:
        return borrow

    def is_plan(argument: types.Type, plan: type | None) -> bool:
        return plan is not None and isinstance(argument, types.Array)

    @intrinsic
    def borrow_all(typing_context, arguments):
        given = list(zip(arguments.types, plans, strict=True))
        number = next((each.dtype for each in arguments.types if _is_of_floats(each)), None)
        results = [
            _planned_type(plan, number) if is_plan(each, plan) else _borrowed_type(each)
            for each, plan in given
        ]

        def generate(context, builder, signature, values):
            members = []
            for i, (each, plan) in enumerate(given):
                value = builder.extract_value(values[0], i)
                members.append(
                    _read_plan(context, builder, results[i], each, value)
                    if is_plan(each, plan)
                    else _borrowed(context, builder, each, value)
                )
            return context.make_tuple(builder, signature.return_type, members)

        return types.Tuple(results)(arguments), generate

    return borrow_all


def _is_of_floats(argument: types.Type) -> bool:
    return isinstance(argument, types.Array) and isinstance(argument.dtype, types.Float)


@type_callable(borrow)
def _type_borrow(context):
    return lambda arguments: _borrowed_type(arguments)


@lower_builtin(borrow, types.Any)
def _lower_borrow(context, builder, signature, arguments):
    return _borrowed(context, builder, signature.args[0], arguments[0])
