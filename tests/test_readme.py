"""The README's code runs, and its commands are what CI runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.pages import run_blocks

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_python_blocks_run_one_after_the_other(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert len(_blocks("python")) >= 3
    output = run_blocks(README)
    assert "batch_size" in output
    assert "gradient_norm" in output or "tolerance" in output
    assert (tmp_path / "surface.png").exists()


def test_the_first_two_shell_commands_set_up_and_run_the_main_job_and_the_tests():
    first, second = "".join(_blocks("sh")).splitlines()[:2]
    assert first.endswith("python -m fastbp")
    assert second.endswith("python -m pytest")
    assert 'pip install -e ".[test]"' in second
    assert README.index(first) == README.index("python3")


def test_it_is_short_and_its_links_lead_somewhere():
    assert README.count("\n") <= 200
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", README + contributing):
        assert (REPOSITORY / link).exists(), link


@pytest.mark.subprocess
def test_every_command_in_the_readme_exists():
    result = subprocess.run(
        [sys.executable, "-m", "fastbp", "-h"], capture_output=True, text=True, timeout=60
    )
    for command in set(re.findall(r"python -m fastbp (\w+)", README)):
        assert command in result.stdout


def test_versions_agree():
    import importlib.metadata

    import fastbp

    assert importlib.metadata.version("fastbp") == fastbp.__version__
    assert f"## {fastbp.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()


def _rows_of_the_tests_readme():
    text = (REPOSITORY / "tests" / "README.md").read_text()
    return [row.split("|")[1:-1] for row in re.findall(r"^\| [A-Z]\d+ \|.*$", text, re.M)]


def test_the_tests_readme_says_something_of_every_promise():
    codes = [code.strip() for code, *_ in _rows_of_the_tests_readme()]
    counts = {"G": 9, "O": 13, "D": 9, "I": 11, "S": 5, "C": 9, "N": 11, "U": 8}
    assert codes == [f"{letter}{i + 1}" for letter, n in counts.items() for i in range(n)]


def test_every_test_that_the_tests_readme_names_exists():
    for code, said, named in _rows_of_the_tests_readme():
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", named)
        assert len(tests) == named.count("`") / 2, code
        elsewhere = re.search(r"[Nn]ot applicable|\.ci/run|README", said)
        assert tests or elsewhere, code
        for file, test in tests:
            source = (REPOSITORY / "tests" / file).read_text()
            assert re.search(rf"^def {test}\(", source, re.M), f"{code}: {file}::{test}"
        for file in re.findall(r"`(bench/[\w/]+\.py)`", said):
            assert (REPOSITORY / file).exists(), file
