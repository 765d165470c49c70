"""Runs the notebooks in place, so that what is committed is what a run gives, and saves the README's pictures.

`python -m labs.notebook.refresh [notebooks/00_start.ipynb ...]`, from the top of a checkout; without names all of them.
"""

from __future__ import annotations

import base64
import copy
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from labs.notebook.kernels import own_address
from labs.notebook.remains import sweep
from labs.settings import ROOT

FOLDER = ROOT / "notebooks"
IMAGES = ROOT / "docs" / "images"

#: The README's pictures: file, notebook, how the picture's text begins, and its type.
PICTURES = (
    ("topology.svg", "09_cover_letter_system.ipynb", "The cover-letter system, live", "image/svg+xml"),
    ("crash_grid.svg", "07_idempotent_consumers.ipynb", "How often Ada is paid", "image/svg+xml"),
    ("retries.png", "06_retries_and_dead_letters.ipynb", "Four attempts of", "image/png"),
)

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_CELL_TIMEOUT_S = 120


def read(path: Path) -> Any:
    """A notebook, in the format of today."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def run(notebook: Any) -> None:
    """Execute it; whatever it leaves behind, because it failed, is swept.

    Raises:
        CellExecutionError: a cell failed.
    """
    try:
        kernel_for(notebook).execute()
    finally:
        sweep()


def kernel_for(notebook: Any, *, folder: Path = FOLDER, **hooks: Any) -> NotebookClient:
    """What executes a notebook, in a kernel of its own that works in `folder`; hooks as nbclient names them."""
    return NotebookClient(
        notebook,
        timeout=_CELL_TIMEOUT_S,
        iopub_timeout=_CELL_TIMEOUT_S,  # what a cell printed may come late on a busy machine; else it's silently lost
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        config=Config(KernelManager=own_address()),
        **hooks,
    )


def normalise(notebook: Any) -> None:
    """Remove what differs from run to run: versions of tools, widgets, timings, how output was cut into pieces."""
    notebook.metadata = nbformat.from_dict(_METADATA)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})  # type: ignore[no-untyped-call]
        if "outputs" in cell:
            cell.outputs = joined(cell.outputs)


def joined(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one, in copies: where a kernel cuts them is chance."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(copy.copy(output))
    return joined


def picture(notebook: Any, *, begins: str, kind: str) -> bytes:
    """The first picture of a notebook whose text begins like that.

    Raises:
        LookupError: there is none.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if kind in data and data.get("text/plain", "").startswith(begins):
                return base64.b64decode(data[kind]) if kind == "image/png" else data[kind].encode() + b"\n"
    raise LookupError(f"no {kind} that begins with {begins!r}: has the notebook been run?")


def save_pictures() -> None:
    """Write the README's pictures from the notebooks as they stand."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, source, begins, kind in PICTURES:
        (IMAGES / name).write_bytes(picture(read(FOLDER / source), begins=begins, kind=kind))


def main(names: list[str]) -> None:
    """Run the named notebooks, or all."""
    for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
        notebook = read(path)
        run(notebook)
        normalise(notebook)
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        print(f"{path.name}: run")
    save_pictures()


if __name__ == "__main__":
    main(sys.argv[1:])
