"""A table of numbers and text as nodes of an ONNX graph: one-hot columns, missing values filled."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.export.onnx_graph import Graph
from fastbp.export.skl2onnx import ML_DOMAIN, ConvertibleToOnnx, Tensors

__all__ = ["TableToOnnx"]


class TableToOnnx(ConvertibleToOnnx):
    """What skl2onnx converts of a `TableEncoder`; its attributes are described there.

    The inputs are tensors of numbers, of one or more columns each, and of text. NaN is a missing
    number.
    """

    categories_: list[NDArray[np.str_]]
    means_: NDArray[np.float64]
    _missing_texts: ClassVar[tuple[str, ...]]

    def _onnx_inputs(self) -> Tensors:
        """Give a table X of numbers, or, where some columns are of text, each by its name."""
        number, text = np.dtype(np.float64), np.dtype(object)
        if not any(map(len, self.categories_)):
            return {"X": (number, [len(self.means_)])}
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(len(self.means_))])
        return {
            str(name): (text if len(texts) else number, [1])
            for name, texts in zip(names, self.categories_, strict=True)
        }

    def _onnx_outputs(self) -> Tensors:
        n_columns = sum(max(len(texts), 1) for texts in self.categories_)
        return {"variable": (np.dtype(np.float64), [n_columns])}

    def _write_onnx(self, prefix: str, inputs: list, outputs: list[str]) -> Graph:
        from skl2onnx.common.data_types import StringTensorType

        graph, blocks, begin = Graph(np.dtype(np.float64), prefix), [], 0
        for one in inputs:
            n_columns = one.type.shape[1]
            categories = self.categories_[begin : begin + n_columns]
            is_text = isinstance(one.type, StringTensorType)
            if any(bool(len(texts)) != is_text for texts in categories):
                raise ValueError(
                    f"Input {one.raw_name!r} is {'text' if is_text else 'numbers'}, and the "
                    "TableEncoder was fitted to other columns there. Give initial_types a tensor "
                    "for each column, a StringTensorType where it was of text."
                )
            if is_text:
                for i, texts in enumerate(categories):
                    column = graph.node(
                        "Gather", one.full_name, graph.constant(np.array([i])), axis=1
                    )
                    blocks.append(_one_hot(graph, column, texts, self._missing_texts))
            else:
                means = self.means_[begin : begin + n_columns]
                blocks.append(_filled(graph, one.full_name, means))
            begin += n_columns
        graph.node("Concat", *blocks, output=outputs[0], axis=1)
        return graph


def _filled(graph: Graph, table: str, means: NDArray[np.float64]) -> str:
    """Put means in the place of NaN."""
    numbers = graph.cast(table)
    return graph.node("Where", graph.node("IsNaN", numbers), graph.constant(means), numbers)


def _one_hot(graph: Graph, column: str, texts: NDArray[np.str_], missing: tuple[str, ...]) -> str:
    """Give a column for each text; an unknown one has number -1, which equals none of theirs."""
    numbers = {text: i for i, text in enumerate(texts.tolist())}
    if "" in numbers:
        numbers |= dict.fromkeys(missing, numbers[""])
    found = graph.node(
        "LabelEncoder",
        column,
        domain=ML_DOMAIN,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=-1,
    )
    return graph.cast(graph.node("Equal", found, graph.constant(np.arange(len(texts)))))
