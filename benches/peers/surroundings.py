"""What the scripts beside need: Python environments with exactly the pinned packages, and release builds of the benches."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def cache():
    named = os.environ.get("ROLLCAGE_CACHE")
    if named:
        return Path(named).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "rollcage"


def environment(name, requirements):
    """The Python of a venv with exactly the pinned packages; made once, under a temporary name."""
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    place = cache() / "venvs" / f"{name}-{key}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=place.parent))
        try:
            print(f"fetching the packages of {requirements.name} once into the cache …", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
            pip = [fresh / "bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
            subprocess.run([*pip, "--disable-pip-version-check", "-r", requirements], check=True)
            with contextlib.suppress(OSError):
                # Another run may have been faster.
                fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place / "bin/python"


def built(*targets):
    """Release builds of a binary and benches, each named as `--bin NAME` or `--bench NAME`; their paths by name."""
    command = ["cargo", "build", "--release", "--message-format=json", *(word for t in targets for word in t.split())]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    messages = map(json.loads, out.splitlines())
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}
