"""The site's code runs and prints what pages show; names have pages; docstrings' examples hold."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import fastbp
from fastbp import plotting, solvers
from fastbp.version import SITE, guide
from helpers.pages import run_blocks

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
WRITTEN = [path for room in ("", "guide", "extend") for path in (DOCS / room).glob("*.md")]
PAGES = sorted(str(path.relative_to(DOCS)) for path in WRITTEN)
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for path in (REPOSITORY / "fastbp").rglob("*.py")
    if ">>> " in path.read_text()
)

#: The package without which a room's examples cannot run.
NEEDED = {"plotting": "matplotlib", "onnx": "onnx", "skl2onnx": "skl2onnx"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("page", PAGES)
def test_the_python_blocks_of_a_page_run_and_print_what_it_shows(page, monkeypatch, tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setenv("MPLBACKEND", "agg")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    run_blocks((DOCS / page).read_text())
    pyplot.close("all")


@pytest.mark.parametrize(
    ("shown", "is_stale"),
    [("loss 0.21", False), ("l... 0.2...", False), ("loss 0.3", True), ("error 0.21", True)],
)
def test_output_that_a_page_shows_is_compared(shown, is_stale):
    page = f"```python\nprint('loss', 0.2071)\n```\n\n```text\n{shown}\n```\n"
    if is_stale:
        with pytest.raises(AssertionError, match="loss 0.2071"):
            run_blocks(page)
    else:
        assert run_blocks(page) == "loss 0.2071\n"


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings(module, monkeypatch, tmp_path):
    for room in set(module.split(".")) & set(NEEDED):
        pytest.importorskip(NEEDED[room])
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    if "plotting" in module:
        importlib.import_module("matplotlib.pyplot").close("all")
    assert result.attempted > 0
    assert result.failed == 0


def _names_with_a_page():
    for page in (DOCS / "api").glob("*.rst"):
        lists = re.findall(r"autosummary::\n(?:   :.*\n)*\n((?:   \S+\n)+)", page.read_text())
        yield from "".join(lists).split()


def test_every_public_name_has_a_page():
    public = {*fastbp.__all__, *plotting.__all__}
    public |= {f"solvers.{name}" for name in solvers.__all__ if name != "SOLVERS"}
    assert public - {"__version__"} <= set(_names_with_a_page())


@pytest.mark.parametrize("name", sorted(_names_with_a_page()))
def test_every_page_has_an_example(name):
    thing = fastbp
    for part in name.split("."):
        thing = getattr(thing, part)
    assert re.search(r"Examples\n *-+\n(?s:.*?)>>> ", thing.__doc__)


def test_the_site_is_where_the_package_says():
    assert f'Documentation = "{SITE}"' in (REPOSITORY / "pyproject.toml").read_text()
    citation = (REPOSITORY / "CITATION.cff").read_text()
    assert f"url: {SITE}\n" in citation
    assert f"version: {fastbp.__version__}\n" in citation


def test_the_question_mark_of_a_notebook_leads_to_the_page_of_the_estimator():
    net = fastbp.BackpropClassifier()
    for estimator in (net, fastbp.BackpropRegressor(), fastbp.BackpropSearchCV(net, {})):
        page = f"{SITE}/generated/api/fastbp.{type(estimator).__name__}.html"
        assert f'href="{page}"' in estimator._repr_html_()
        assert type(estimator).__name__ in _names_with_a_page()


def test_guides_that_messages_name_are_there():
    sources = (path.read_text() for path in (REPOSITORY / "fastbp").rglob("*.py"))
    named = {page for source in sources for page in re.findall(r"guide\('(\w+)'\)", source)}
    assert named == {"dask", "scaling", "stopping"}
    assert all((REPOSITORY / "docs" / "guide" / f"{page}.md").exists() for page in named)
    assert guide("scaling") == f"See {SITE}/guide/scaling.html."
