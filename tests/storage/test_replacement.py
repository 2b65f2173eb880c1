"""Files replaced in one step: what is left of killed writers goes, what is being written stays."""

import os
import sys
import threading

import pytest

from fastbp.storage.replacement import replace_file

DEAD = ".kept.0123abcd.part"


def test_the_next_writing_takes_away_what_a_killed_one_left_behind(tmp_path):
    others = [".kept.part", ".kept.0123abcd.part.txt", ".other.0123abcd.part", "kept.0123abcd.part"]
    for name in (DEAD, ".kept.ffffffff.part", *others):
        (tmp_path / name).write_bytes(b"half")
    replace_file(str(tmp_path / "kept"), b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"kept", *others}
    assert (tmp_path / "kept").read_bytes() == b"whole"


def test_names_are_no_patterns(tmp_path):
    (tmp_path / ".abcd.0123abcd.part").write_bytes(b"half")
    replace_file(str(tmp_path / "a.*d"), b"whole")
    assert (tmp_path / ".abcd.0123abcd.part").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no open file is removed there")
def test_what_another_process_is_writing_stays(tmp_path):
    import fcntl

    with open(tmp_path / DEAD, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        replace_file(str(tmp_path / "kept"), b"whole")
        assert (tmp_path / DEAD).exists()
    replace_file(str(tmp_path / "kept"), b"whole")
    assert not (tmp_path / DEAD).exists()


def test_a_folder_that_cannot_be_listed_can_be_written_to(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    (tmp_path / DEAD).write_bytes(b"half")
    monkeypatch.setattr(os, "listdir", refuse)
    replace_file(str(tmp_path / "kept"), b"whole")
    assert (tmp_path / "kept").read_bytes() == b"whole"


def test_writers_do_not_take_away_each_others(tmp_path):
    failures = []

    def write(i):
        try:
            for _ in range(40):
                replace_file(str(tmp_path / "kept"), bytes([i]) * 1000)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert len(set((tmp_path / "kept").read_bytes())) == 1
