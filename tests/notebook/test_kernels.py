"""Kernels of checks and tests have addresses that nothing else can take, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError
from nbval.kernel import start_new_kernel

from labs.notebook.refresh import kernel_for

TELL_CONNECTION = """\
import json
from ipykernel import get_connection_info
told = json.loads(get_connection_info())
print(told["transport"], told["ip"])
"""


def files_at(address: str) -> list[str]:
    return sorted(path.name for path in Path(address).parent.glob(f"{Path(address).name}*"))


def test_kernels_that_nbval_starts_listen_on_files_of_their_own() -> None:
    # Given two kernels as nbval starts them
    managers = []
    try:
        for _ in range(2):
            manager, client = start_new_kernel(kernel_name="python3")
            managers.append(manager)
            client.stop_channels()
        # then each of them has a file for each of its five sockets,
        first, second = (files_at(manager.ip) for manager in managers)
        assert (len(first), len(second)) == (5, 5)
        assert not set(first) & set(second)
    finally:
        for manager in managers:
            manager.shutdown_kernel(now=True)
    # and takes them with it.
    assert [files_at(manager.ip) for manager in managers] == [[], []]


@pytest.mark.parametrize("ends", ["pass", "import os; os.kill(os.getpid(), 9)"], ids=["ends well", "kills itself"])
def test_a_notebook_runs_over_files_that_are_gone_however_it_ends(ends: str) -> None:
    # Given a notebook that tells how its kernel is reached
    tells, last = (nbformat.v4.new_code_cell(source) for source in (TELL_CONNECTION, ends))
    client = kernel_for(nbformat.v4.new_notebook(cells=[tells, last]))
    # when it runs
    try:
        client.execute()
    except DeadKernelError:
        assert "kill" in ends
    # then that was over files, and they are gone.
    transport, address = tells.outputs[0].text.split()
    assert transport == "ipc"
    assert files_at(address) == []
