"""Damaged, cut off and hostile files: ValueError that says what is wrong, and nothing else."""

import json
import re
import struct

import numpy as np
import pytest

from fastbp import BackpropClassifier, load, save
from fastbp.storage.tensor_file import read_file, write_file
from fastbp.storage.values import decode, encode
from helpers.fits import SHORT, make_net
from helpers.kept import DATA
from helpers.saved import change_document, forge, parts_of

pytestmark = SHORT


@pytest.fixture
def saved(tmp_path, problem):
    """Save a model: saved(mode) -> path."""

    def run(mode="adam", **parameters):
        net = make_net(mode, **parameters).fit(*problem())
        save(net, tmp_path / "model.fastbp")
        return tmp_path / "model.fastbp"

    return run


@pytest.fixture
def classifier(tmp_path, problem):
    X, _ = problem()
    net = BackpropClassifier((3,), max_iter=2).fit(X, np.arange(len(X)) % 3)
    save(net, tmp_path / "model.fastbp")
    return tmp_path / "model.fastbp"


def refuses(path, message):
    with pytest.raises(ValueError, match=message) as error:
        load(path)
    assert repr(str(path)) in str(error.value)


def test_bits_that_flip_are_seen_wherever_they_are(saved, rng):
    path = saved()
    content = path.read_bytes()
    places = {*range(120), *rng.integers(0, 8 * len(content), 2000).tolist()}
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        refuses(path, "is not loaded")


def test_bytes_that_are_overwritten_or_moved_are_seen(saved, rng):
    path = saved()
    content = path.read_bytes()
    for _ in range(500):
        begin, end = sorted(rng.integers(0, len(content), 2).tolist())
        noise = rng.bytes(end - begin)
        for damaged in (
            content[:begin] + noise + content[end:],
            content[:begin] + content[end:],
            content[:end] + content[begin:],
        ):
            if damaged != content:
                path.write_bytes(damaged)
                refuses(path, "is not loaded")


def test_a_file_that_is_cut_off_or_goes_on(saved):
    path = saved()
    content = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, *range(200, len(content), 97), len(content) - 1):
        path.write_bytes(content[:length])
        refuses(path, "is not loaded")
    for more in (b" ", b"\0" * 8, content):
        path.write_bytes(content + more)
        refuses(path, "is not loaded")


def test_other_files_are_named_for_what_they_are_not(tmp_path):
    path = tmp_path / "other"
    for content, message in (
        (b"", "0 bytes"),
        (b"PK\x03\x04" + b"\0" * 40, "header"),
        (struct.pack("<Q", 2**63) + b"{}", "9223372036854775808 bytes"),
        (struct.pack("<Q", 2) + b"{}", "not written by fastbp"),
        (struct.pack("<Q", 2) + b"[]", "no JSON object"),
        (struct.pack("<Q", 2) + b"\xff\xff", "no text"),
        (struct.pack("<Q", 4) + b"nope", "no JSON"),
        (DATA.joinpath("regressor-0.1.0.pkl").read_bytes(), "is not loaded"),
    ):
        path.write_bytes(content)
        refuses(path, message)


def test_files_of_another_program_or_version(saved):
    path = saved()
    header, data = parts_of(path)
    for key, value, message in (
        ("format", "pt", "not written by fastbp"),
        ("format_version", "2", "format_version '2' of fastbp '0.1.0'"),
        ("kind", "forest", "holds a forest"),
        ("kind", 3, "no text"),
        ("document", "[" * 100_000, "nested too deeply"),
        ("document", '{"class": NaN}', "NaN is no JSON"),
        ("document", '{"class": 1e999999, "class": 2}', "twice"),
        ("document", "9" * 5000, "no JSON"),
    ):
        changed = dict(header["__metadata__"], **{key: value})
        forge(path, {**header, "__metadata__": changed}, data)
        refuses(path, message)
    for key in ("fastbp_version", "kind", "document", "sha256", "format_version"):
        changed = {k: v for k, v in header["__metadata__"].items() if k != key}
        forge(path, {**header, "__metadata__": changed}, data)
        refuses(path, re.escape(f"no '{key}'") + "|format_version None")
    forge(path, {"__metadata__": []})
    refuses(path, "not written by fastbp")


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [-1, -30]},
        {"shape": [2**62, 2**62]},
        {"shape": [10**30, 0]},
        {"shape": [0] * 1000},
        {"shape": 30},
        {"shape": [5.0, 6]},
        {"shape": [True, 30]},
        {"shape": [5, 7]},
        {"shape": None},
        {"dtype": "O"},
        {"dtype": "F8"},
        {"dtype": ["F64"]},
        {"dtype": "F32"},
        {"data_offsets": [8, 248]},
        {"data_offsets": [-240, 0]},
        {"data_offsets": [240, 0]},
        {"data_offsets": [0, 2**70]},
        {"data_offsets": [0, 240, 240]},
        {"data_offsets": "ab"},
        {"data_offsets": [0.0, 240.0]},
        {"data_offsets": [False, 240]},
        {"more": 1},
    ],
    ids=str,
)
def test_arrays_that_cannot_be(entry, saved):
    path = saved()
    header, data = parts_of(path)
    assert header["coefs.0"] == {"dtype": "F64", "shape": [5, 6], "data_offsets": [0, 240]}
    header["coefs.0"] |= entry
    forge(path, header, data)
    refuses(path, "array 'coefs.0'|array 'coefs.1'|its arrays end")


def test_arrays_that_overlap_or_leave_holes(saved):
    path = saved()
    header, data = parts_of(path)
    forge(path, header | {"more": dict(header["coefs.0"])}, data)
    refuses(path, "holes, overlaps")
    last = len(data)
    more = {"dtype": "U8", "shape": [1], "data_offsets": [last + 1, last + 2]}
    forge(path, header | {"more": more}, data + b"\0\0")
    refuses(path, "holes, overlaps")
    forge(path, header | {"more": 5}, data)
    refuses(path, "array 'more'")
    more = {"dtype": "BOOL", "shape": [1], "data_offsets": [last, last + 1]}
    forge(path, header | {"more": more}, data + b"\2")
    refuses(path, "truth values")


def test_a_key_that_stands_there_twice(saved):
    path = saved()
    header, data = parts_of(path)
    header["__metadata__"]["sha256"] = "0" * 64
    text = json.dumps(header, separators=(",", ":"))
    forge(path, text[:-1] + ',"coefs.0":' + json.dumps(header["coefs.0"]) + "}", data)
    refuses(path, "twice")
    forge(path, text[:-1] + ',"more":{"sha256":"' + "0" * 64 + '"}}', data)
    refuses(path, "2 checksums")


#: Values put in the place of every value of a document, one after the other.
HOSTILE = [
    *(None, True, -1, 2**70, 1e308, "", "os.system", [], [[]], {}, {"tensor": "nowhere"}),
    *({"tensor": "coefs.0"}, {"float": "nan"}, {"tuple": [0, -5]}, {"dict": [[[1], 2]]}),
    *({"class": "os.system"}, {"scalar": 300, "dtype": "int8"}, {"text": [1], "is_object": True}),
    {"random_state": {"tensor": "coefs.0", "position": 1, "has_gauss": 0, "gauss": 0.0}},
]


def _places(document, path=()):
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


@pytest.mark.parametrize("part", range(6))
@pytest.mark.parametrize("stem", ["regressor", "classifier", "pipeline", "table"])
def test_every_value_of_another_type_is_refused_or_makes_a_model(stem, part, tmp_path):
    """What stays is a value that a user could have set, of which some are as good as another."""
    path = tmp_path / "model.fastbp"
    document, arrays = read_file(DATA / f"format-1-{stem}.fastbp", "model")
    n_refused = n_loaded = 0
    for place in _places(document):
        for value in HOSTILE[part::6]:
            changed = json.loads(json.dumps(document))
            owner = changed
            for key in place[:-1]:
                owner = owner[key]
            owner[place[-1]] = value
            write_file(path, "model", changed, arrays)
            try:
                model = load(path)
            except ValueError:
                n_refused += 1
            else:
                assert type(model).__name__ == document["class"], (place, value)
                n_loaded += 1
    assert n_refused > 2 * n_loaded


def _set(*keys, to):
    def change(document, arrays):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("class", to="BackpropEstimator"), "'BackpropEstimator' is none of"),
        (_set("class", to="sklearn.svm.SVC"), "none of"),
        (_set("class", to=["BackpropRegressor"]), "none of"),
        (_set("class", to="BackpropClassifier"), "parameters .*'loss'"),
        (_set("parameters", "spam", to=1), "no parameters .*spam"),
        (_set("parameters", "alpha", to=-1), "alpha"),
        (_set("parameters", to=None), "parameters are missing"),
        (_set("fitted", "more", to=1), "parts"),
        (_set("fitted", "attributes", "predict", to=1), "predict is nothing"),
        (_set("fitted", "attributes", "n_iter_", to=-1), "n_iter_ is '-1'"),
        (_set("fitted", "attributes", "n_iter_", to=2**63), "n_iter_"),
        (_set("fitted", "attributes", "n_features_in_", to=4), "4 features"),
        (_set("fitted", "attributes", "loss_", to="low"), "loss_ is 'low'"),
        (_set("fitted", "network", "loss", to="cross_entropy"), "cross_entropy|classes"),
        (_set("fitted", "network", "loss", to="mine"), "loss='mine'"),
        (_set("fitted", "network", "layer_sizes", to={"tuple": [5, 10**9, 1]}), "parameters"),
        (_set("fitted", "network", "layer_sizes", to={"tuple": [5, 7, 1]}), "weights have shapes"),
        (_set("fitted", "weights", "coefs", to=[{"tensor": "coefs.0"}] * 2), "shapes"),
        (_set("fitted", "weights", "coefs", to=[]), "shapes"),
        (_set("fitted", "weights", "intercepts", to=[]), "intercepts_ holds 0"),
        (_set("fitted", "state", "rule", "name", to="newton"), "'newton', none of"),
        (_set("fitted", "state", "moments", "first", to={"tensor": "coefs.0"}), "moments"),
        (_set("fitted", "state", "rule", to=None), "state.rule"),
        (_set("fitted", "target_scaling", to={"mean": 0.0}), "target_scaling.scale is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_documents_that_cannot_be(change, message, saved):
    path = saved()
    change_document(path, change)
    refuses(path, message)


@pytest.mark.parametrize("categories", [[], [["a"]] * 3, [np.zeros(2)] * 3, [np.array(["a"])] * 4])
def test_labels_of_columns_that_cannot_be(categories, tmp_path):
    path = tmp_path / "table.fastbp"
    path.write_bytes((DATA / "format-1-table.fastbp").read_bytes())

    def change(document, arrays):
        encoded = encode(categories, "forged", arrays)
        document["steps"][0][1]["attributes"]["categories_"] = encoded

    change_document(path, change)
    refuses(path, "categories_ is")


def test_weights_that_are_not_finite_or_of_two_dtypes(saved):
    path = saved()

    def spoil(document, arrays):
        arrays["coefs.0"][0, 0] = np.nan

    change_document(path, spoil)
    refuses(path, "NaN or infinity")

    def mix(document, arrays):
        arrays["coefs.0"] = np.zeros((5, 6), np.float32)

    change_document(path, mix)
    refuses(path, "dtypes")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"classes": np.array([2, 1, 0])}, "sorted"),
        ({"classes": np.array([0, 0, 1])}, "sorted"),
        ({"classes": np.array([0.5, 0.7, 0.9])}, "continuous"),
        ({"classes": np.array([0.0, np.nan, 1])}, "classes"),
        ({"classes": np.zeros((3, 3), int)}, "classes"),
        ({"classes": np.zeros(0)}, "classes"),
        ({"classes": np.arange(4)}, "4 outputs"),
        ({"classes": np.arange(2)}, "1 outputs"),
        ({"classes": np.arange(10**6), "is_multilabel": True}, "1000000 outputs"),
        ({"is_multilabel": True, "is_soft": True}, "sorted|such labels"),
        ({"is_multilabel": True}, "'binary_cross_entropy'"),
        ({"is_soft": 1}, "is_soft"),
    ],
    ids=str,
)
def test_classes_that_cannot_be(labels, message, classifier):
    def change(document, arrays):
        for name, value in labels.items():
            document["fitted"]["labels"][name] = encode(value, "forged", arrays)

    change_document(classifier, change)
    refuses(classifier, message)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -(2**70), 0.1, -0.0, np.inf, "", "ä\ud800\0", [], (), {}, [(1, [2])]),
        *({1: "a", "b": None, (1, 2): 3.0}, np.float32(0.1), np.float64(np.nan), np.int8(-3)),
        *(np.uint64(2**64 - 1), np.True_, np.float16(np.inf)),
        *(np.array(["a", "bc"]), np.array(["a"], object), np.array([], "U3")),
        *(np.zeros((2, 0, 3), np.float16), np.array(5.0), np.array([True, False])),
        np.arange(6, dtype=">i4").reshape(2, 3).T,
    ],
    ids=repr,
)
def test_values_come_back_as_they_were(value, tmp_path):
    arrays = {}
    write_file(tmp_path / "file", "test", encode(value, "value", arrays), arrays)
    back = decode(*read_file(tmp_path / "file", "test"))
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "U":
        assert back.dtype == value.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "value", [object(), len, int, {1, 2}, 1j, b"a", np.array([1j]), np.array([None]), range(3)]
)
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="thing"):
        encode([value], "thing", {})
