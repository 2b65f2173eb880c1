"""The examples and the tutorial run, with warnings as errors."""

import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES, TUTORIAL = REPOSITORY / "examples", REPOSITORY / "docs" / "tutorial"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
SCRIPTS = [path for folder in (EXAMPLES, TUTORIAL) for path in sorted(folder.glob("*.py"))]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs(script, monkeypatch, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runpy.run_path(str(script))
    figures = pyplot.get_fignums()
    assert bool(figures) == (script.parent == TUTORIAL or script.stem.startswith("plot_"))
    for number in figures:
        pyplot.figure(number).canvas.draw()
    pyplot.close("all")


def test_each_is_listed_and_short():
    listed = (EXAMPLES / "README.rst").read_text()
    for name in NAMES:
        source = (EXAMPLES / f"{name}.py").read_text()
        assert f"``{name}.py``" in listed
        assert source.count("\n") <= 80
        assert source.startswith('"""\n')


def test_pages_of_the_tutorial_are_short_and_lead_to_the_next():
    pages = sorted(TUTORIAL.glob("plot_*.py"))
    assert len(pages) == 9
    for page, following in zip(pages, pages[1:], strict=False):
        assert f"<{following.stem}>" in page.read_text()
    assert all(page.read_text().count("\n") <= 130 for page in pages)
