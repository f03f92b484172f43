"""What the guard refuses, tried in a process of its own: it cannot be taken off again."""

import subprocess
import sys
import textwrap


def guarded(outside_memory, code):
    """Run code under a guard that allows `scratch`; its output."""
    for name in ("scratch", "kept/inner"):
        (outside_memory / name).mkdir(parents=True)
    (outside_memory / "kept" / "file").write_text("kept")
    script = "import os, shutil, tempfile\nfrom pathlib import Path\n"
    script += "from curator_slurm.launcher.driver.write_guard import WriteGuard\n"
    script += f"guard = WriteGuard(Path('scratch').absolute())\nguard.install()\n{textwrap.dedent(code)}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=outside_memory, capture_output=True, text=True, check=False, timeout=60
    )
    assert (outside_memory / "kept" / "file").read_text() == "kept"
    assert (outside_memory / "kept" / "inner").is_dir()
    assert sorted(path.name for path in outside_memory.iterdir()) == ["kept", "scratch"]
    return done


def test_changes_are_refused_and_named(outside_memory):
    done = guarded(
        outside_memory,
        """
        tries = [
            lambda: open("new", "w"), lambda: open("kept/file", "a"), lambda: os.remove("kept/file"),
            lambda: os.mkdir("made"), lambda: os.rmdir("kept/inner"), lambda: os.rename("kept", "moved"),
            lambda: os.symlink("kept", "link"), lambda: os.link("kept/file", "hard"), lambda: shutil.rmtree("kept"),
            lambda: os.truncate("kept/file", 0), lambda: os.chmod("kept/file", 0),
            lambda: Path("made/x").mkdir(parents=True),
        ]
        for attempt in tries:
            guard.refused.clear()
            try:
                attempt()
            except PermissionError as error:
                assert error.filename == guard.refused[0], (error.filename, guard.refused)
                assert str(guard.refused[0]).startswith(os.getcwd()), guard.refused
                continue
            raise SystemExit(f"not refused: {tries.index(attempt)}")
        """,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_reading_and_the_scratch_folder_are_allowed(outside_memory):
    done = guarded(
        outside_memory,
        """
        assert open("kept/file").read() == "kept"
        os.makedirs("kept/inner", exist_ok=True)
        open(os.devnull, "w").close()
        with tempfile.TemporaryDirectory(dir="scratch") as folder:
            Path(folder, "a").mkdir()
            Path(folder, "a", "b").write_text("x")
        read, write = os.pipe()
        os.fdopen(write, "w").close()
        assert not guard.refused, guard.refused
        """,
    )
    assert done.returncode == 0, done.stderr
