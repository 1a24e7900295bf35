#!/usr/bin/env python3
"""Latency and throughput of `rollcage replica` beside MLServer, both serving a small MLP (16-32-32-1) over V2 on loopback.

    python3 benches/peers/v2.py [--repeats 3] [--seconds 3] [--rollcage PATH --v2load PATH]

Needs cargo (unless both paths are given) and Python 3.11 or newer with venv and pip. MLServer comes pinned from pip, once,
below the cache folder. Each server is started anew for each repeat and is alone on the machine then; the compiled load
generator (benches/v2load.rs) drives all of them with the same request. JSON is compared with JSON; binary tensors, which
MLServer does not take, are an extra row. Figures of a shared machine are noisy: compare those of one run.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from surroundings import HERE, ROOT, built, environment

REQUIREMENTS = HERE / "requirements.txt"
CONNECTIONS = [1, 16]
START_MAX_S = 60

TRAIN = """
import sys, joblib, numpy
from sklearn.neural_network import MLPClassifier
rng = numpy.random.default_rng(1)
x = rng.standard_normal((4000, 16)).astype(numpy.float32)
y = (x @ rng.standard_normal(16) + rng.standard_normal(4000) > 0).astype(int)
joblib.dump(MLPClassifier((32, 32), max_iter=200, random_state=1).fit(x, y), sys.argv[1])
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def running(command, port, log):
    """A server in a process group of its own, ready; ended with all its children."""
    with open(log, "w") as out:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        end = time.monotonic() + START_MAX_S
        while True:
            if server.poll() is not None or time.monotonic() > end:
                sys.exit(f"{command[0]} is not ready: {Path(log).read_text()[-2000:]}")
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/m/ready", timeout=2) as answer:
                    if answer.status == 200:
                        break
            time.sleep(0.1)
        yield
    finally:
        for sign in [signal.SIGTERM, signal.SIGKILL]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)


def mlserver(folder, python, workers):
    def start(port):
        place = folder / f"workers-{workers}"
        (place / "m").mkdir(parents=True, exist_ok=True)
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": workers,
            # Without it every request is logged.
            "debug": False,
        }
        (place / "settings.json").write_text(json.dumps(settings))
        model = {
            "name": "m",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(folder / "model.joblib"), "version": "1"},
        }
        (place / "m/model-settings.json").write_text(json.dumps(model))
        main = "from mlserver.cli.main import main; main()"
        return [str(python), "-c", main, "start", str(place)]

    return start


def replica(rollcage):
    model = ROOT / "synthetic/models/mlp-linear-v1.onnx"
    return lambda port: [rollcage, "replica", "--model", str(model), "--name", "m", "--port", str(port)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rollcage")
    parser.add_argument("--v2load")
    options = parser.parse_args()
    python = environment("mlserver", REQUIREMENTS)
    rollcage, v2load = options.rollcage, options.v2load
    if not (rollcage and v2load):
        made = built("--bin rollcage", "--bench v2load")
        rollcage, v2load = made["rollcage"], made["v2load"]
    with tempfile.TemporaryDirectory(prefix="rollcage-peers-") as temporary:
        folder = Path(temporary)
        subprocess.run([python, "-c", TRAIN, folder / "model.joblib"], check=True)
        servers = [
            ("mlserver, parallel_workers 0", mlserver(folder, python, 0), [False]),
            ("mlserver, parallel_workers 1", mlserver(folder, python, 1), [False]),
            ("rollcage replica", replica(rollcage), [False, True]),
        ]
        found = {}
        for repeat in range(options.repeats):
            for name, start, forms in servers:
                port = free_port()
                with running(start(port), port, folder / "log"):
                    for connections in CONNECTIONS:
                        for binary in forms:
                            command = [v2load, "--address", f"127.0.0.1:{port}", "--model", "m"]
                            command += ["--connections", str(connections), "--seconds", str(options.seconds)]
                            command += ["--binary"] if binary else []
                            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120).stdout
                            figures = json.loads(out)
                            found.setdefault((connections, name, binary), []).append(figures)
                            form = "binary" if binary else "JSON"
                            print(f"{repeat + 1} · {name} · {form} · {connections}: {figures}", file=sys.stderr)
    show(found, options)


def show(found, options):
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; ", end="")
    print(f"median of {options.repeats} × {options.seconds} s, range of throughput in brackets; one row of 16 FP32")
    print("| connections | server | form | p50 µs | p99 µs | requests/s | errors | p50 ratio | throughput ratio |")
    print("|--:|---|---|--:|--:|--:|--:|--:|--:|")
    for connections in CONNECTIONS:
        rows = {key: runs for key, runs in found.items() if key[0] == connections}

        def middle(runs, field):
            return statistics.median(run[field] for run in runs)

        peers = [runs for (_, name, _), runs in rows.items() if name.startswith("mlserver")]
        best_p50 = min(middle(runs, "p50_us") for runs in peers)
        best_rate = max(middle(runs, "throughput_per_s") for runs in peers)
        for (_, name, binary), runs in rows.items():
            p50, p99, rate = (middle(runs, field) for field in ["p50_us", "p99_us", "throughput_per_s"])
            rates = [run["throughput_per_s"] for run in runs]
            errors = sum(run["errors"] for run in runs)
            print(
                f"| {connections} | {name} | {'binary' if binary else 'JSON'} | {p50:.0f} | {p99:.0f} "
                f"| {rate:.0f} [{min(rates):.0f}, {max(rates):.0f}] | {errors} "
                f"| {best_p50 / p50:.1f}× | {rate / best_rate:.1f}× |"
            )


if __name__ == "__main__":
    main()
