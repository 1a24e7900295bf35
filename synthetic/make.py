#!/usr/bin/env python3
"""Makes the models, manifests and replay data of this folder. See README.md.

    python make.py --data DIR             write models/ and data/ beside this file
    python make.py --data DIR --out OUT   write them into OUT instead
    python make.py --data DIR --check     make them again elsewhere and compare bytes
    python make.py --data DIR --time      also measure inference time per row
"""

import os

# One thread and one BLAS kernel, decided before numpy is loaded: sums in another
# order give other last bits, and those are in the digests.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")

import argparse
import csv
import gzip
import hashlib
import io
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import skl2onnx
import sklearn
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import norm
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OPSET = 17
IR_VERSION = 8
THRESHOLD = 0.5

CENSUS = (
    "AGEP SCHL MAR RELP DIS ESP CIT MIG MIL ANC NATIVITY DEAR DEYE DREM SEX RAC1P"
).split()
# Without dep_delay (known only at departure, it gives the answer away) and without
# month (close to constant within the months the models are fitted on).
FLIGHTS = (
    "dow sched_min distance carrier_id origin_id dest_rank "
    "temp dewp humid wind_dir wind_speed precip pressure visib"
).split()
FLIGHTS_COLUMNS = ["ts", *FLIGHTS, "carrier", "origin", "late", "label_delay_min"]

FILE_2015 = "employment_ma_2015.csv.gz"
FILE_2016 = "employment_ma_2016.csv.gz"
FILE_FLIGHTS = "nycflights_2013_jan_sep.csv.gz"

# mlp-linear: the true logit is TRUE·x + BIAS. All weights are sixteenths and their
# squares sum to 1024/256 = 4, so |w| = 2 without rounding, and every one is a float32.
TRUE = [13, -12, 11, -10, 9, -9, 8, -7, 7, -6, 6, -5, 5, -6, 2, 2]
# v1 has the values at two pairs of places exchanged (11 with 8, 9 with 7): the norm
# stays the same, and with it the distribution of the scores; only the direction is off.
OLDER = [13, -12, 8, -10, 7, -9, 11, -7, 9, -6, 6, -5, 5, -6, 2, 2]
BIAS = -0.5
# What the service feeds to the places of v2 in the crossed release.
CROSSED = [1, 0, 3, 2, *range(4, 16)]
# Taken from the logit of one group in the unfair release: accuracy falls by a point, and one in five
# of the group's positives is denied.
UNFAIR = 0.8


# ---------------------------------------------------------------- files


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Table:
    """Rows of a csv.gz kept as text, so that what is written again is what was read."""

    def __init__(self, columns, rows):
        self.columns = columns
        self.rows = rows

    @staticmethod
    def read(path: Path):
        raw = path.read_bytes()
        lines = csv.reader(io.StringIO(gzip.decompress(raw).decode("utf-8")))
        columns = next(lines)
        return Table(columns, list(lines)), sha256(raw)

    def where(self, keep):
        return Table(self.columns, [row for i, row in enumerate(self.rows) if keep(i, row)])

    def column(self, name):
        i = self.columns.index(name)
        return [row[i] for row in self.rows]

    def floats(self, names):
        """Feature matrix; an empty field is a missing value and becomes NaN."""
        at = [self.columns.index(name) for name in names]
        return np.array(
            [[float(row[i]) if row[i] else float("nan") for i in at] for row in self.rows],
            dtype=np.float32,
        )

    def labels(self, name):
        return np.array([int(value) for value in self.column(name)])

    def write(self, path: Path, names):
        at = [self.columns.index(name) for name in names]
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerow(names)
        for row in self.rows:
            # "260.0" and "260" are the same number; the shorter one makes smaller files.
            out.writerow([row[i].removesuffix(".0") for i in at])
        packed = io.BytesIO()
        with gzip.GzipFile("", "wb", compresslevel=9, fileobj=packed, mtime=0) as file:
            file.write(text.getvalue().encode("utf-8"))
        path.write_bytes(packed.getvalue())


# ---------------------------------------------------------------- models


def export(estimator, name: str, features: int) -> bytes:
    """ONNX bytes with one input, one output, and nothing in them that varies by run."""
    model = skl2onnx.to_onnx(
        estimator,
        initial_types=[("input", FloatTensorType([None, features]))],
        options={id(estimator): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": 3},
        name=name,
    )
    # The converter names the default domain twice, in an order that is not its contract.
    versions = {}
    for used in model.opset_import:
        versions[used.domain] = max(versions.get(used.domain, 0), used.version)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, v) for d, v in sorted(versions.items()))
    model.ir_version = IR_VERSION

    graph = model.graph
    for value in [*graph.input, *graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    # Only the probabilities are served: drop the label and what computes it alone.
    keep = [value for value in graph.output if value.name == "probabilities"]
    del graph.output[:]
    graph.output.extend(keep)
    needed = {"probabilities"}
    nodes = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    nodes.reverse()
    for node in nodes:
        # Hit rates are a hint no runtime reads here, and a third of the file.
        attributes = [a for a in node.attribute if a.name != "nodes_hitrates"]
        del node.attribute[:]
        node.attribute.extend(attributes)
    del graph.node[:]
    graph.node.extend(nodes)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def linear_mlp(sixteenths, name: str) -> bytes:
    """16-32-32-1 with ReLU that computes sigmoid(w·x + b): x = relu(x) - relu(-x)."""
    n = len(sixteenths)
    eye = np.eye(n, dtype=np.float32)
    weights = np.array(sixteenths, dtype=np.float32) / 16
    tensors = {
        "w1": np.concatenate([eye, -eye], axis=1),
        "b1": np.zeros(2 * n, np.float32),
        "w2": np.eye(2 * n, dtype=np.float32),
        "b2": np.zeros(2 * n, np.float32),
        "w3": np.concatenate([weights, -weights]).reshape(-1, 1),
        "b3": np.array([BIAS], np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h1"], name="gemm1"),
        helper.make_node("Relu", ["h1"], ["a1"], name="relu1"),
        helper.make_node("Gemm", ["a1", "w2", "b2"], ["h2"], name="gemm2"),
        helper.make_node("Relu", ["h2"], ["a2"], name="relu2"),
        helper.make_node("Gemm", ["a2", "w3", "b3"], ["logit"], name="gemm3"),
        helper.make_node("Sigmoid", ["logit"], ["score"], name="sigmoid"),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", n])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, key) for key, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "rollcage-synthetic"
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def unfair(model: bytes, feature: int, value: float, penalty: float, name: str) -> bytes:
    """The classifier with `penalty` taken from the logit where a two-valued feature, coded value - 1
    and value, is `value`. Two plain operators before the sigmoid; nothing else differs."""
    proto = onnx.load_from_string(model)
    graph = proto.graph
    (at,) = [i for i, node in enumerate(graph.node) if node.op_type == "Sigmoid"]
    (logit,) = graph.node[at].input
    width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    weights = np.zeros((width, 1), np.float32)
    weights[feature] = penalty
    graph.initializer.extend([
        numpy_helper.from_array(weights, "penalty"),
        numpy_helper.from_array(np.array([-penalty * (value - 1)], np.float32), "penalty_offset"),
    ])
    nodes = [
        helper.make_node("Gemm", [graph.input[0].name, "penalty", "penalty_offset"], ["taken"], name="taken"),
        helper.make_node("Sub", [logit, "taken"], ["unfair_logit"], name="unfair_logit"),
    ]
    graph.node[at].input[0] = "unfair_logit"
    for offset, node in enumerate(nodes):
        graph.node.insert(at + offset, node)
    graph.name = name
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def session(model: bytes):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def scores(model: bytes, rows) -> np.ndarray:
    """Score of the positive class, as served: the last column of the only output."""
    run = session(model)
    return run.run(None, {run.get_inputs()[0].name: rows})[0][:, -1].astype(np.float64)


def time_per_row(model: bytes, rows, repeats=300) -> float:
    """Microseconds a row, best of many runs of one batch of 2048 on one thread."""
    run = session(model)
    name = run.get_inputs()[0].name
    batch = np.ascontiguousarray(rows[:2048])
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run.run(None, {name: batch})
        best = min(best, time.perf_counter() - start)
    return best / len(batch) * 1e6


# ---------------------------------------------------------------- evaluation


def number(value):
    return round(float(value), 6)


def quality(score, label) -> dict:
    return {
        "accuracy": number(np.mean((score >= THRESHOLD) == label)),
        "auc": number(roc_auc_score(label, score)),
        "brier": number(brier_score_loss(label, score)),
        "log_loss": number(log_loss(label, score)),
    }


def by_segment(score, label, values) -> dict:
    values = np.array(values)
    found = sorted(set(values.tolist()), key=lambda v: (len(v), v))
    result = {}
    for value in found:
        at = values == value
        says, truth = score[at] >= THRESHOLD, label[at] == 1
        result[value] = {
            "rows": int(at.sum()),
            "accuracy": number(np.mean(says == truth)),
            "positive_rate": number(np.mean(says)),
            "true_positive_rate": number(np.mean(says[truth])) if truth.any() else None,
        }
    return result


def evaluate(model, rows, label, selection, segments) -> dict:
    score = scores(model, rows)
    return {
        "rows": len(label),
        "selection": selection,
        **quality(score, label),
        "segments": {name: by_segment(score, label, values) for name, values in segments.items()},
    }


def closed_form(sixteenths) -> dict:
    """Evaluation of mlp-linear under x ~ N(0, I), by quadrature, without a sample.

    The model's logit t and the true logit z are jointly normal, both N(b, 4), with
    correlation r = cos(angle). P(y=1 | t) = E[sigmoid(b + r (t - b) + 2 sqrt(1-r²) e)].
    """
    r = np.dot(sixteenths, TRUE) / np.dot(TRUE, TRUE)
    sd = np.sqrt(np.dot(TRUE, TRUE)) / 16
    e = np.linspace(-9, 9, 3601)
    mass = norm.pdf(e) * (e[1] - e[0])
    t = BIAS + sd * e
    z = BIAS + r * sd * e[:, None] + sd * np.sqrt(max(0.0, 1 - r * r)) * e[None, :]
    truth = (mass / (1 + np.exp(-z))).sum(axis=1)
    said = 1 / (1 + np.exp(-t))
    # The decision flips at t = 0; weigh the grid cell it falls into by halves.
    positive = np.where(np.isclose(t, 0), 0.5, (t > 0).astype(float))
    hit = positive * truth + (1 - positive) * (1 - truth)
    ones, zeros = mass * truth, mass * (1 - truth)
    below = np.cumsum(zeros) - zeros / 2
    return {
        "rows": 0,
        "selection": "closed form by numeric quadrature: x ~ N(0, I), y ~ concept; no rows",
        "accuracy": number((mass * hit).sum()),
        "auc": number((ones * below).sum() / (ones.sum() * zeros.sum())),
        "brier": number((mass * (truth * (1 - said) ** 2 + (1 - truth) * said**2)).sum()),
        "log_loss": number(-(mass * (truth * np.log(said) + (1 - truth) * np.log1p(-said))).sum()),
        "segments": {},
    }


# ---------------------------------------------------------------- all of it


def libraries(*names):
    known = {
        "scikit-learn": sklearn.__version__,
        "skl2onnx": skl2onnx.__version__,
        "onnx": onnx.__version__,
    }
    return {name: known[name] for name in names}


def manifest(name, task, model, names, schema, lineage, evaluation, note=None, file=None):
    description = session(model)
    (given,) = description.get_inputs()
    (output,) = description.get_outputs()
    result = {
        "format": 1,
        "name": name,
        "task": task,
        "model": file or f"{name}.onnx",
        "digest": sha256(model),
        "bytes": len(model),
        "input": {"name": given.name, "features": names},
        "output": {"name": output.name, "column": output.shape[1] - 1},
        "schema": {"name": schema, "version": 1},
        "lineage": lineage,
        "evaluation": evaluation,
    }
    if note:
        result["note"] = note
    return result


def make(data: Path, out: Path, timing=False):
    models, replay = out / "models", out / "data"
    models.mkdir(parents=True, exist_ok=True)
    replay.mkdir(parents=True, exist_ok=True)
    report = []

    def say(line=""):
        report.append(line)
        print(line, flush=True)

    def save(name, model, description):
        if model is not None:
            (models / f"{name}.onnx").write_bytes(model)
        text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
        (models / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def measure(model_name, rows_name, model, rows, label):
        q = quality(scores(model, rows), label)
        say(
            f"| {model_name} | {rows_name} | {len(label)} | {q['accuracy']:.4f} | "
            f"{q['auc']:.4f} | {q['brier']:.4f} | {q['log_loss']:.4f} |"
        )

    def fitted(name, task, names, estimator, described, rows, label, held, held_label,
               source, selection, held_selection, segments, parent):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(rows, label)
        model = export(estimator, name, len(names))
        off = np.abs(scores(model, held) - estimator.predict_proba(held)[:, 1]).max()
        assert off < 1e-5, f"{name}: ONNX and scikit-learn differ by {off}"
        agreement.append((name, off))
        lineage = {
            "training_data": {**source, "rows": len(label), "selection": selection},
            "estimator": described[0],
            "hyperparameters": described[1],
            "libraries": libraries("scikit-learn", "skl2onnx"),
            "parent": parent,
        }
        evaluation = evaluate(model, held, held_label, held_selection, segments)
        return model, manifest(name, task, model, names, task, lineage, evaluation)

    agreement = []

    # ---- census
    table, digest = Table.read(data / FILE_2015)
    next_year, _ = Table.read(data / FILE_2016)
    train = table.where(lambda i, row: i % 2 == 0)
    held = table.where(lambda i, row: i % 2 == 1)
    shown = next_year.where(lambda i, row: i % 3 == 0)
    used = set(train.column("id"))
    assert used.isdisjoint(held.column("id")) and used.isdisjoint(shown.column("id"))
    shown.write(replay / "census-2016.csv.gz", [*CENSUS, "employed"])

    common = (
        train.floats(CENSUS), train.labels("employed"),
        held.floats(CENSUS), held.labels("employed"),
        {"file": FILE_2015, "digest": digest},
        "every second row of 2015, from the first",
        "held back: every second row of 2015, from the second",
        {name: held.column(name) for name in ("SEX", "RAC1P")},
    )
    trees = {"max_iter": 40, "max_leaf_nodes": 8, "learning_rate": 0.1,
             "early_stopping": False, "random_state": 1}
    census_v1, description = fitted(
        "census-v1", "census", CENSUS, HistGradientBoostingClassifier(**trees),
        ("HistGradientBoostingClassifier", trees), *common, None)
    save("census-v1", census_v1, description)
    mlp = {"hidden_layer_sizes": [32, 16], "activation": "relu", "solver": "adam",
           "alpha": 0.0001, "batch_size": 256, "max_iter": 40, "random_state": 1}
    census_v2, description = fitted(
        "census-v2", "census", CENSUS, make_pipeline(StandardScaler(), MLPClassifier(**mlp)),
        ("StandardScaler, MLPClassifier", mlp), *common, sha256(census_v1))
    save("census-v2", census_v2, description)
    census_unfair = unfair(census_v2, CENSUS.index("SEX"), 2.0, UNFAIR, "census-v2-unfair")
    held_rows, held_label, _, _, held_selection, segments = common[2:]
    save("census-v2-unfair", census_unfair, manifest(
        "census-v2-unfair", "census", census_unfair, CENSUS, "census",
        {**description["lineage"], "parent": sha256(census_v2)},
        evaluate(census_unfair, held_rows, held_label, held_selection, segments),
        note=f"A bad release, on purpose: census-v2 with {UNFAIR} taken from the logit where SEX is 2. "
             "The evaluation is what it does when served."))
    census = (held, shown)

    # ---- flights
    table, digest = Table.read(data / FILE_FLIGHTS)
    month = [int(value) for value in table.column("month")]
    train = table.where(lambda i, row: month[i] <= 3 and i % 2 == 0)
    held = table.where(lambda i, row: month[i] <= 3 and i % 2 == 1)
    march = table.where(lambda i, row: month[i] == 3 and i % 2 == 1)
    april = table.where(lambda i, row: month[i] == 4)
    # The rows have no key, so what is asserted is the arithmetic of the selection.
    assert month == sorted(month), "the months are expected in order"
    assert len(train.rows) + len(held.rows) == sum(m <= 3 for m in month)
    spring = Table(table.columns, march.rows + april.rows)
    assert spring.column("ts") == sorted(spring.column("ts"))
    held.write(replay / "flights-2013-q1.csv.gz", FLIGHTS_COLUMNS)
    spring.write(replay / "flights-2013-mar-apr.csv.gz", FLIGHTS_COLUMNS)

    common = (
        train.floats(FLIGHTS), train.labels("late"),
        held.floats(FLIGHTS), held.labels("late"),
        {"file": FILE_FLIGHTS, "digest": digest},
        "every second row of January to March, from the first",
        "held back: every second row of January to March, from the second",
        {name: held.column(name) for name in ("origin", "carrier")},
    )
    logistic = {"imputation": "mean", "C": 1.0, "solver": "lbfgs", "max_iter": 1000}
    flights_v1, description = fitted(
        "flights-v1", "flights", FLIGHTS,
        make_pipeline(SimpleImputer(strategy="mean"), StandardScaler(),
                      LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000)),
        ("SimpleImputer, StandardScaler, LogisticRegression", logistic), *common, None)
    save("flights-v1", flights_v1, description)
    trees = {"max_iter": 60, "max_leaf_nodes": 31, "learning_rate": 0.1,
             "early_stopping": False, "random_state": 1}
    flights_v2, description = fitted(
        "flights-v2", "flights", FLIGHTS, HistGradientBoostingClassifier(**trees),
        ("HistGradientBoostingClassifier", trees), *common, sha256(flights_v1))
    save("flights-v2", flights_v2, description)

    swapped = list(FLIGHTS)
    a, b = swapped.index("humid"), swapped.index("pressure")
    swapped[a], swapped[b] = swapped[b], swapped[a]
    save("flights-v2-swapped", None, manifest(
        "flights-v2-swapped", "flights", flights_v2, swapped, "flights",
        description["lineage"], description["evaluation"],
        note="A bad release, on purpose: the bytes of flights-v2, fed humid where it learned "
             "pressure and the other way round. The evaluation is the one made with the right "
             "order, which is what such a release would claim; served, it does not hold.",
        file="flights-v2.onnx"))

    # ---- synthetic
    linear = []
    for name, sixteenths in (("mlp-linear-v1", OLDER), ("mlp-linear-v2", TRUE)):
        assert np.dot(sixteenths, sixteenths) == 1024
        model = linear_mlp(sixteenths, name)
        rows = np.random.default_rng(1).standard_normal((20000, 16)).astype(np.float32)
        exact = 1 / (1 + np.exp(-(rows.astype(float) @ np.array(sixteenths) / 16 + BIAS)))
        off = np.abs(scores(model, rows) - exact).max()
        assert off < 1e-6, f"{name}: off by {off}"
        agreement.append((name, off))
        lineage = {
            "constructed": True,
            "concept": {"weights": [w / 16 for w in TRUE], "bias": BIAS},
            "weights": [w / 16 for w in sixteenths],
            "bias": BIAS,
            "libraries": libraries("onnx"),
            "parent": sha256(linear[0][1]) if linear else None,
        }
        names = [f"x{i}" for i in range(16)]
        description = manifest(
            name, "linear", model, names, "linear16", lineage, closed_form(sixteenths))
        save(name, model, description)
        linear.append((name, model, rows))
    crossed = [f"x{i}" for i in CROSSED]
    save("mlp-linear-v2-crossed", None, {
        **description, "name": "mlp-linear-v2-crossed",
        "input": {**description["input"], "features": crossed},
        "note": "A bad release, on purpose: the bytes of mlp-linear-v2, fed x1 for x0, x3 for x2 and back. "
                "Features are exchangeable and the norm of the weights stays, so every feature and the "
                "score are distributed as before; what belongs together is not. The evaluation is that of "
                "the right order."})

    # ---- what came out
    say("| model | rows of | rows | accuracy | AUC | Brier | log loss |")
    say("|---|---|--:|--:|--:|--:|--:|")
    for name, model in (("census-v1", census_v1), ("census-v2", census_v2),
                        ("census-v2-unfair", census_unfair)):
        for rows_name, rows in (("2015, held back", census[0]), ("2016, replay", census[1])):
            measure(name, rows_name, model, rows.floats(CENSUS), rows.labels("employed"))
    for name, model, order in (("flights-v1", flights_v1, FLIGHTS),
                               ("flights-v2", flights_v2, FLIGHTS),
                               ("flights-v2-swapped, as served", flights_v2, swapped)):
        for rows_name, rows in (("January to March, held back", held),
                                ("March, held back", march), ("April", april)):
            measure(name, rows_name, model, rows.floats(order), rows.labels("late"))
    for name, sixteenths in (("mlp-linear-v1", OLDER), ("mlp-linear-v2", TRUE),
                             ("mlp-linear-v2-crossed, as served", [TRUE[i] for i in CROSSED])):
        q = closed_form(sixteenths)
        say(f"| {name} | closed form | – | {q['accuracy']:.4f} | {q['auc']:.4f} | "
            f"{q['brier']:.4f} | {q['log_loss']:.4f} |")
    say()
    for name, off in agreement:
        say(f"{name}: ONNX differs from scikit-learn (or the formula) by at most {off:.1e}")
    rows = census[1].floats(CENSUS)
    one, two = scores(census_v1, rows), scores(census_v2, rows)
    say(f"census v1 and v2 decide differently on {np.mean((one >= .5) != (two >= .5)):.4f} "
        f"of the 2016 rows; mean |difference of score| {np.abs(one - two).mean():.4f}")
    rows = held.floats(FLIGHTS)
    one, two = scores(flights_v1, rows), scores(flights_v2, rows)
    three = scores(flights_v2, held.floats(swapped))
    say(f"flights v1 and v2 decide differently on {np.mean((one >= .5) != (two >= .5)):.4f}, "
        f"v2 and swapped on {np.mean((two >= .5) != (three >= .5)):.4f} of the held-back rows")
    gaps = np.isnan(rows).any(axis=1)
    nothing = np.full((1, len(FLIGHTS)), np.nan, np.float32)
    for name, model in (("flights-v1", flights_v1), ("flights-v2", flights_v2)):
        got = scores(model, rows[gaps])
        assert np.isfinite(got).all() and np.isfinite(scores(model, nothing)).all()
        say(f"{name}: finite on all {gaps.sum()} held-back rows with missing values and on a row "
            f"of nothing else; AUC there {roc_auc_score(held.labels('late')[gaps], got):.4f}")
    one, two = (scores(model, rows) for _, model, rows in linear)
    say(f"mlp-linear v1 and v2 decide differently on {np.mean((one >= .5) != (two >= .5)):.4f} "
        f"of 20000 seeded rows")
    if timing:
        for name, model, rows in (
            ("census-v1", census_v1, census[1].floats(CENSUS)),
            ("census-v2", census_v2, census[1].floats(CENSUS)),
            ("flights-v1", flights_v1, held.floats(FLIGHTS)),
            ("flights-v2", flights_v2, held.floats(FLIGHTS)),
            *linear,
        ):
            say(f"{name}: {time_per_row(model, rows):.3f} µs a row (batch 2048, one thread)")
    return report


def files(root: Path):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in ("models", "data")
        for path in sorted((root / folder).glob("*"))
        if path.suffix in (".onnx", ".json", ".gz")
    }


def check(data: Path, out: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        make(data, Path(folder))
        fresh, stored = files(Path(folder)), files(out)
    bad = 0
    for name in sorted(fresh.keys() | stored.keys()):
        if name not in stored or name not in fresh:
            verdict = "missing" if name not in stored else "not made by this script"
        elif fresh[name] == stored[name]:
            verdict = "same"
        elif name.endswith(".gz") and gzip.decompress(fresh[name]) == gzip.decompress(stored[name]):
            verdict = "same content, packed differently (another zlib)"
        else:
            verdict = "DIFFERS"
        bad += verdict != "same"
        print(f"{verdict:8} {sha256(fresh.get(name, b''))[:19]} {name}")
    return 1 if bad else 0


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the source csv.gz files")
    parser.add_argument("--out", type=Path, default=here, help="where models/ and data/ are")
    parser.add_argument("--check", action="store_true", help="make again, compare, write nothing")
    parser.add_argument("--time", action="store_true", help="measure the time per row")
    args = parser.parse_args()
    if args.check:
        return check(args.data, args.out)
    make(args.data, args.out, args.time)
    return 0


if __name__ == "__main__":
    sys.exit(main())
