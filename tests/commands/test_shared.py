"""What commands say of a task that failed: whether the same command may do better."""

import pytest
import typer

from tamis.commands.shared import errors
from tamis.documents import DamagedFile
from tamis.engine import TaskFailed


def said(error, capsys):
    with pytest.raises(typer.Exit), errors():
        raise error
    return capsys.readouterr().err


def test_only_of_faults_that_may_pass_the_same_command_is_advised(capsys):
    assert "run the same command again to go on" in said(TaskFailed("0", "No space left", passing=True), capsys)
    lasting = said(TaskFailed("0", "no column txet"), capsys)
    assert "again to go on" not in lasting
    assert "stops here again until the cause is mended" in lasting


@pytest.mark.parametrize("kind", [DamagedFile, lambda message: TaskFailed("0", message)])
def test_of_a_damaged_file_of_a_workspace_the_command_that_mends_is_said(tmp_path, capsys, kind):
    (tmp_path / "_done").mkdir()
    words = said(kind(f"{tmp_path}/signals/text/00000.parquet is damaged: page 1/2"), capsys)
    assert f"`tamis doctor --work {tmp_path} --repair`" in words
    assert "again to go on" not in words
    assert "doctor" not in said(kind("elsewhere/items.parquet is damaged"), capsys)


def test_a_package_that_is_not_installed_names_its_extra(capsys):
    words = said(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), capsys)
    assert words == "error: this command needs the package torch: pip install 'tamis[train]'\n"
    with pytest.raises(ModuleNotFoundError), errors():
        raise ModuleNotFoundError("No module named 'tamis.gone'", name="tamis.gone")
