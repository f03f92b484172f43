"""Pictures of reports for the docs, and a look at each page in a real browser: `make screenshots`.

Runs of the quickstart are real ones on this machine; the others are made by helpers of tests. Every page is opened,
wide and narrow, and must be drawn without an error; of some, parts are written to docs/pictures as small PNGs.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import chromium
import pictured_runs
import reported_runs
import run_dirs
from fake_slurm import FakeSlurm
from PIL import Image

from curator_slurm.launcher.report.make_report import report_of, write_page
from curator_slurm.launcher.runs.registry import Run, load_run, run_directories

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 1_500_000
"""Of all pictures together."""
BACKENDS = ("xenna", "ray_data", "ray_actor_pool")
WIDTH = 1000
_COLOURS = 96
PICTURES: Mapping[str, Mapping[str, str]] = {
    "quickstart on xenna": {"report": "top"},
    "three nodes on xenna": {"nodes": "nodes"},
    "losses": {"funnel": "funnel", "time": "time"},
    "twelve shards, restarts": {"shards": "shards"},
}
"""Run -> name of a picture -> the section of the page that it shows."""


def quickstart(folder: Path, backend: str) -> Run:
    """A real run on this machine."""
    command = [Path(sys.executable).with_name("curator-slurm"), "run", ROOT / "examples" / "quickstart.yaml"]
    options = ["--cluster", "local", "--set", f"executor.backend={backend}"]
    environment = {**os.environ, "CURATOR_SLURM_RUNS": str(folder / "runs")}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"quickstart on {backend}: {done.stdout}{done.stderr}")
    (root,) = run_directories([folder / "runs"])
    return load_run(root)


def kinds() -> Iterator[tuple[str, Callable[[Path], Run]]]:
    """Name of a run -> what makes it in a folder."""
    for backend in BACKENDS:
        yield f"quickstart on {backend}", lambda folder, backend=backend: quickstart(folder, backend)
        yield f"three nodes on {backend}", lambda folder, backend=backend: pictured_runs.three_nodes(folder, backend)
    yield "losses", pictured_runs.lossy
    yield "twelve shards, restarts", pictured_runs.restarted
    yield "10,000 shards", lambda folder: reported_runs.many_shards(folder, 10_000)
    yield "never started", run_dirs.new_run


def main() -> None:
    """Make, open and picture all of them; those named on the command line alone, by the beginnings of their names."""
    wanted = tuple(sys.argv[1:]) or ("",)
    FOLDER.mkdir(exist_ok=True)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # for the 40,000 files of 10,000 shards
    with tempfile.TemporaryDirectory(prefix="cs-pictures-", dir=memory) as place, chromium.browser() as browser:
        slurm = FakeSlurm(Path(place, "slurm"))  # which knows of no job
        os.environ |= {"HOME": place, "XDG_STATE_HOME": f"{place}/state", "PATH": f"{slurm.bin}:{os.environ['PATH']}"}
        for number, (kind, make) in enumerate(kinds()):
            if not kind.startswith(wanted):
                continue
            folder = Path(place, str(number))
            folder.mkdir()
            run = make(folder)
            began = time.monotonic()
            page = run.paths.root / "page.html"
            write_page(report_of(run), page)
            made = time.monotonic() - began
            page.write_text(page.read_text().replace(str(folder), "/shared"))
            look(browser, page, kind)
            size = page.stat().st_size
            print(f"{kind:28} page of {size / 1e6:.2f} MB in {made:.1f} s, made and drawn without an error", flush=True)
            shutil.rmtree(folder)
    total = sum(path.stat().st_size for path in FOLDER.glob("*.png"))
    print(f"{total:,} bytes in {FOLDER.relative_to(ROOT)}")
    if total > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES:,}")


def look(browser: Any, page: Path, kind: str) -> None:
    """Open a page at two widths and in both colour schemes; take its pictures from the wide one."""
    for width, scheme in ((375, "dark"), (WIDTH, "light")):
        with chromium.opened(browser, page, width, scheme) as (tab, seen):
            wrong = [*seen.said, *(f"asks for {url}" for url in seen.asked_for if url != page.as_uri())]
            wrong += [f"{name} is empty" for name, count in seen.marks.items() if count <= 5]
            wrong += [f"{seen.wide} wide at {width}"] if seen.wide > width else []
            wrong += chromium.findings_of_axe(tab)
            if wrong:
                sys.exit(f"{kind}, {width} px, {scheme}: {'; '.join(wrong)}")
            if width == WIDTH:
                for name, section in PICTURES.get(kind, {}).items():
                    write(FOLDER / f"{name}.png", picture(tab, section))


def picture(tab: Any, section: str) -> bytes:
    """A section as PNG; `top` is the beginning of the page."""
    if section == "top":
        tab.set_viewport_size({"width": WIDTH, "height": 900})
        return bytes(tab.screenshot())
    place = tab.locator(f"section#{section}")
    place.scroll_into_view_if_needed()
    return bytes(place.screenshot())


def write(path: Path, png: bytes) -> None:
    """The picture with few colours; one that looks the same stays as it is."""
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
