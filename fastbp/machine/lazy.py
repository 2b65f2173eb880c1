"""A property that is worked out at its first use, without a lock.

`functools.cached_property` of Python 3.11 holds a lock for all instances of a class while it works
a value out. A process that is forked meanwhile inherits it locked, and waits for ever at its first
use. Here two threads may work the same value out, which does no harm.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["lazy"]

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - a decorator, as property is
    """Make a method a property that keeps its value in the instance's ``__dict__``."""

    def __init__(self, method: Callable[[Any], T]) -> None:
        self._method, self.__doc__ = method, method.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        """Work the value out; from then on the instance's own attribute is found before this."""
        if instance is None:  # looked up on the class, as tools for documentation do
            return self  # type: ignore[return-value]
        value = instance.__dict__[self._method.__name__] = self._method(instance)
        return value
