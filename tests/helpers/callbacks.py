"""Callbacks that write down what they are told."""

__all__ = ["Alone", "Fitted", "HandedOn", "Told", "assert_in_order", "path_of", "stops_at"]


class Told:
    """Writes down what it is told, and says stop at tasks of its choice."""

    def __init__(self, stops=lambda context: False):
        self.stops, self.told, self.names = stops, [], []

    def setup(self, estimator, context):
        self.told.append(("setup",))

    def teardown(self, estimator, context):
        self.told.append(("teardown",))

    def on_fit_task_begin(self, estimator, context):
        self.told.append(("begin", *path_of(context)))
        self.names.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        self.told.append(("end", *path_of(context)))
        return self.stops(context)

    def paths(self, event):
        """The tasks that began or ended, in order."""
        return [path for what, *path in self.told if what == event]


class Alone(Told):
    """Fails where hooks are called in several threads at a time."""

    is_free = True

    def on_fit_task_end(self, estimator, context):
        assert self.is_free
        self.is_free = False
        super().on_fit_task_end(estimator, context)
        self.is_free = True


class HandedOn(Told):
    """Handed on to what an estimator has inside."""

    max_propagation_depth = None


class Fitted(Told):
    """Keeps the estimator as if it were fitted, at each task's end."""

    def __init__(self, stops=lambda context: False):
        super().__init__(stops)
        self.kept = []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.kept.append((fitted_estimator, metadata))
        return super().on_fit_task_end(estimator, context)


def path_of(context):
    """Task ids from below the root."""
    above = () if context.parent is None else path_of(context.parent)
    return above if context.parent is None else (*above, context.task_id)


def stops_at(*path):
    return lambda context: path_of(context) == path


def assert_in_order(told):
    """Every task that began has ended, and within the one above it."""
    assert told[0] == ("setup",)
    assert told[-1] == ("teardown",)
    on = []
    for event, *path in told[1:-1]:
        if event == "begin":
            assert not on or path[: len(on[-1])] == on[-1]
            on.append(path)
        else:
            assert on.pop() == path
    assert not on
