"""What an interrupted run leaves belongs to one process, and nothing of anybody else is removed for it."""

import json
import subprocess
import sys

import pytest

from gen5astro.errors import ExistsError, SchemaError
from gen5astro.io.resuming import PartFolder, check_plan

HOLDER = """
import sys, time, pathlib
from gen5astro.io.resuming import PartFolder
held = PartFolder(pathlib.Path(sys.argv[1]), ())
print("held", flush=True)
time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_and_free_when_that_is_killed(tmp_path):
    folder = tmp_path / "cube.h5.part"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ExistsError, match=r"cube\.h5\.part: got a run that another process is at; wait"):
            PartFolder(folder, ())
        holder.kill()
    PartFolder(folder, ()).close()


def test_what_no_run_left_is_not_removed(tmp_path):
    (tmp_path / "journal").write_text("ours")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExistsError, match=r"got 'notes\.txt', which no run leaves there; move it away"):
        PartFolder(tmp_path, ("journal",))
    (tmp_path / "notes.txt").unlink()
    part = PartFolder(tmp_path, ("journal",))
    part.clear()
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]
    part.remove()
    assert not tmp_path.exists()


def test_the_first_setting_that_differs_is_named(tmp_path):
    planned = tmp_path / "plan.json"
    plan = {"config": {"build": {"seed": 1, "split": "sky"}}, "n_rows": 4}
    planned.write_text(json.dumps(plan))
    options = {"name": "a build", "remedy": "build as it was begun"}
    check_plan(planned, json.dumps(plan), resume=True, **options)
    other = json.dumps({"config": {"build": {"seed": 2, "split": "sky"}}, "n_rows": 4})
    with pytest.raises(SchemaError, match=r"^build\.seed of what is to be resumed in .*got 2; expected 1, as it was"):
        check_plan(planned, other, resume=True, **options)
    with pytest.raises(ExistsError, match=r"got a build that was interrupted; pass --resume"):
        check_plan(planned, other, resume=False, **options)
