#!/usr/bin/env python3
"""Speed of rollcage's detectors beside river's, scipy's, evidently's and numpy's, on the same numbers and one core.

    python3 benches/peers/detectors.py [--rounds 5] [--only NAME ...] [--bench PATH]

Needs cargo (unless the path of the built bench is given) and Python 3.11 with venv and pip. The packages come pinned from pip,
once, below the cache folder. Theirs are called at their barest: river's `update`, scipy's functions, the function that
evidently registers for a test, on a Series made before. Ours are made from the text of a policy by the compiled bench
(benches/detectors.rs). Rounds alternate between theirs and ours. Where both are to do the same work, they must also come to
the same results; otherwise the script ends with an error. Figures of a shared machine are noisy: compare those of one run.

What was found: a KS look of 10 000 rows a side took 320 microseconds, three quarters of them sorting; now it sorts only what
lies where the distance can be reached. A PSI look took 58, of which a sixth was the quantile of chi-squared for the threshold,
whose continued fraction did not stop when it was exact. A Mann-Whitney look also estimates the shift with its interval, which
scipy's function does not.
"""

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from surroundings import HERE, built, environment

LEAST_S = 0.1
INSIDE = "ROLLCAGE_PEERS_INSIDE"


def one_core():
    """The last core that there is, for this process and what it starts; libraries with one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ["OMP", "OPENBLAS", "MKL"]:
        os.environ[f"{name}_NUM_THREADS"] = "1"


def policy(kind, **keys):
    lines = ['name = "bench"', "[signals.s]", f'kind = "{kind}"']
    return "\n".join(lines + [f"{key} = {json.dumps(value)}" for key, value in keys.items()])


def timed(call):
    """Seconds of one call."""
    begun, calls = time.perf_counter(), 0
    while True:
        call()
        calls += 1
        passed = time.perf_counter() - begun
        if passed >= LEAST_S:
            return passed / calls


class Stream:
    """A detector of single observations: the same alarms on both sides."""

    def __init__(self, name, make, kind, inputs, wanted=None, same=True, **keys):
        self.name, self.make, self.inputs, self.wanted, self.same = name, make, [inputs], wanted, same
        self.policy = policy(kind, of="failure" if inputs == "errors" else "score", **keys)
        self.recorded = []

    def theirs(self, data):
        update = self.make().update
        begun = time.perf_counter()
        for x in data[0]:
            update(x)
        return time.perf_counter() - begun

    def prepare(self, data):
        detector, self.alarms, compared = self.make(), 0, []
        for i, x in enumerate(data[0]):
            before = copy.copy(getattr(detector, "_rng", None))
            detector.update(x)
            self.alarms += detector.drift_detected
            if before and self.same and len(compared) < 20 and detector.n > detector.window_size and i % 97 == 0:
                # What river drew, and what scipy says of it.
                earlier = detector.window_size - detector.stat_size
                positions = before.sample(range(earlier), detector.stat_size)
                values = data[0][i + 1 - detector.window_size : i + 1]
                from scipy.stats import ks_2samp

                test = ks_2samp([values[p] for p in positions], values[earlier:], method="auto")
                compared.append((test.statistic, test.pvalue))
                self.recorded.append((i + 1, positions))
        self.compared = compared

    def check(self, ours):
        if self.same and ours["alarms"] != self.alarms:
            sys.exit(f"{self.name}: {self.alarms} alarms there, {ours['alarms']} here")
        for theirs, got in zip(self.compared, ours["compared"], strict=True):
            near(self.name, theirs, got)
        work = f"{self.alarms} alarms" + (f", {len(self.compared)} D and p" if self.compared else "")
        return work if self.same else f"other draws: {self.alarms} and {ours['alarms']} alarms"

    def rate(self, seconds, data):
        return f"{len(data[0]) / seconds / 1e6:.3g} M/s"


class Pair:
    """A two-sample test: the same fields on both sides."""

    def __init__(self, name, call, kind, size, fields, wanted=None, convert=None, **keys):
        self.name, self.call, self.fields, self.wanted, self.recorded = name, call, fields, wanted, []
        self.inputs = [f"reference-{size}", f"window-{size}"]
        self.convert = convert or (lambda x: x)
        self.policy = policy(kind, of="score", window="60s", **keys)

    def prepare(self, data):
        self.samples = [self.convert(x) for x in data]
        self.said = self.call(*self.samples)

    def theirs(self, _):
        return timed(lambda: self.call(*self.samples))

    def check(self, ours):
        near(self.name, [float(self.said[i]) for i in self.fields.values()], [ours["fields"][f] for f in self.fields])
        return "same " + ", ".join(self.fields) if self.fields else "another definition"

    def rate(self, seconds, _):
        return f"{seconds * 1e6:.4g} µs"


def near(name, theirs, ours):
    for a, b in zip(theirs, ours, strict=True):
        if abs(a - b) > 1e-9 * abs(a) + 1e-12:
            sys.exit(f"{name}: {theirs} there, {ours} here")


def cases():
    import numpy as np
    import pandas as pd
    from evidently.legacy.calculations.stattests.mmd_stattest import _mmd_stattest
    from evidently.legacy.calculations.stattests.psi import _psi
    from evidently.legacy.core import ColumnType
    from river import drift
    from river.drift import binary
    from scipy import stats

    def ks(a, b):
        return stats.ks_2samp(a, b, method="asymp")

    def mmd(a, b):
        points = np.concatenate([a, b])
        kernel = np.exp(-0.5 * (points[:, None] - points[None, :]) ** 2)
        n, m = len(a), len(b)
        within = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - m) / (m * (m - 1))
        return [within - 2 * kernel[:n, n:].mean()]

    def evidently(test):
        return lambda a, b: test(a, b, ColumnType.Numerical, 0.1)

    def wasserstein(a, b):
        return [stats.wasserstein_distance(a, b)]

    d_p = {"d": 0, "p": 1}
    # Bins and stand-ins for empty ones as evidently has them.
    theirs = {"binning": "evidently", "empty": 0.0001}
    return [
        Stream("ADWIN (clock 32)", lambda: drift.ADWIN(clock=32), "adwin", "unit", 20, clock=32, after_drift="river"),
        Stream("Page-Hinkley", drift.PageHinkley, "page-hinkley", "metric", 50),
        Stream("KSWIN", lambda: drift.KSWIN(seed=7), "kswin", "short", 50, draws="river", seed=7),
        Stream("KSWIN, own draws", lambda: drift.KSWIN(seed=7), "kswin", "short", 50, same=False),
        Stream("HDDM-A", binary.HDDM_A, "hddm-a", "errors", 50),
        Stream("HDDM-W", binary.HDDM_W, "hddm-w", "errors", 50),
        Stream("DDM", binary.DDM, "ddm", "errors"),
        Stream("EDDM", binary.EDDM, "eddm", "errors"),
        Stream("FHDDM", binary.FHDDM, "fhddm", "errors", errors=False),
        Pair("KS 1 000", ks, "ks", 1_000, d_p, method="asymptotic"),
        Pair("KS 10 000", ks, "ks", 10_000, d_p, 5, method="asymptotic"),
        Pair("KS 100 000", ks, "ks", 100_000, d_p, 5, method="asymptotic"),
        Pair("PSI 1 000", evidently(_psi), "psi", 1_000, {"value": 0}, None, pd.Series, **theirs),
        Pair("PSI 10 000", evidently(_psi), "psi", 10_000, {"value": 0}, 20, pd.Series, **theirs),
        Pair("PSI 100 000", evidently(_psi), "psi", 100_000, {"value": 0}, None, pd.Series, **theirs),
        Pair("PSI 10 000, deciles", evidently(_psi), "psi", 10_000, {}, 20, pd.Series),
        Pair(
            "Mann-Whitney 10 000",
            lambda a, b: stats.mannwhitneyu(a, b, method="asymptotic"),
            "mann-whitney",
            10_000,
            {"u": 0, "p": 1},
            method="asymptotic",
        ),
        Pair("Wasserstein 10 000", wasserstein, "wasserstein", 10_000, {"distance": 0}),
        Pair(
            "MMD 200, 100 permutations",
            evidently(_mmd_stattest),
            "mmd",
            200,
            {},
            None,
            pd.Series,
            permutations=100,
        ),
        # The estimate alone; ours draws one permutation all the same.
        Pair(
            "MMD 500, numpy",
            mmd,
            "mmd",
            500,
            {"mmd2": 0},
            None,
            permutations=1,
            cap=500,
            bandwidth=1.0,
            standardise=False,
        ),
    ]


def inputs():
    """Numbers by name of file; levels change every fifth of a stream."""
    import numpy as np

    rng = np.random.default_rng(20260211)

    def levels(n, low, high):
        return np.where(np.arange(n) * 5 // n % 2 == 1, high, low)

    made = {
        "metric": rng.standard_normal(300_000) + levels(300_000, 0, 0.5),
        "unit": np.clip(0.1 * rng.standard_normal(200_000) + levels(200_000, 0.4, 0.6), 0, 1),
        "short": rng.standard_normal(5_000) + levels(5_000, 0, 1),
        "errors": (rng.random(200_000) < levels(200_000, 0.05, 0.15)).astype(float),
    }
    for size in [200, 1_000, 10_000, 100_000, 500]:
        made[f"reference-{size}"] = rng.standard_normal(size)
        made[f"window-{size}"] = 1.02 * rng.standard_normal(size) + 0.02
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="beginnings of names")
    parser.add_argument("--bench", help="the built benches/detectors.rs")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        bench = options.bench or built("--bench detectors")["detectors"]
        python = environment("detectors", HERE / "requirements-detectors.txt")
        command = [str(python), __file__, *sys.argv[1:], "--bench", str(bench)]
        sys.exit(subprocess.run(command, env={**os.environ, INSIDE: "1"}).returncode)
    one_core()
    chosen = [c for c in cases() if not options.only or any(c.name.startswith(o) for o in options.only)]
    with tempfile.TemporaryDirectory(prefix="rollcage-peers-") as temporary:
        folder = Path(temporary)
        made = inputs()
        for name, values in made.items():
            (folder / f"{name}.f64").write_bytes(values.astype("<f8").tobytes())
        data = {}
        for case in chosen:
            # A stream comes as Python's floats, as from anything that observes; samples as arrays.
            data[case.name] = [made[i].tolist() if isinstance(case, Stream) else made[i] for i in case.inputs]
            case.prepare(data[case.name])
        theirs, ours, said = ({c.name: [] for c in chosen} for _ in range(3))
        for round_ in range(options.rounds):
            for case in chosen:
                one = {"name": case.name, "policy": case.policy, "inputs": [f"{i}.f64" for i in case.inputs]}
                (folder / "cases.json").write_text(json.dumps([{**one, "recorded": case.recorded}]))
                out = subprocess.run([options.bench, folder], check=True, stdout=subprocess.PIPE).stdout
                found = json.loads(out)[case.name]
                said[case.name] = case.check(found)
                ours[case.name].append(found["seconds"])
                theirs[case.name].append(case.theirs(data[case.name]))
            print(f"round {round_ + 1} of {options.rounds}", file=sys.stderr)
        short = show(chosen, data, theirs, ours, said, options)
    if short:
        sys.exit(f"below what is wanted: {', '.join(short)}")


def show(chosen, data, theirs, ours, said, options):
    """Prints the table; gives the cases that are slower than wanted."""
    import evidently
    import river
    import scipy

    versions = f"river {river.__version__}, scipy {scipy.__version__}, evidently {evidently.__version__}"
    print(f"{platform.machine()}, one of {os.cpu_count()} CPUs, Python {platform.python_version()}, {versions}; ", end="")
    print(f"medians of {options.rounds} rounds, range of the ratio in brackets")
    print("| detector | theirs | rollcage | ratio | wanted | checked |")
    print("|---|--:|--:|--:|--:|---|")
    short = []
    for case in chosen:
        ratios = [a / b for a, b in zip(theirs[case.name], ours[case.name])]
        ratio = statistics.median(ratios)
        rates = [case.rate(statistics.median(s[case.name]), data[case.name]) for s in (theirs, ours)]
        print(
            f"| {case.name} | {rates[0]} | {rates[1]} | {ratio:.3g} [{min(ratios):.3g}, {max(ratios):.3g}] "
            f"| {case.wanted or ''} | {said[case.name]} |"
        )
        if case.wanted and ratio < case.wanted:
            short.append(case.name)
    return short


if __name__ == "__main__":
    main()
