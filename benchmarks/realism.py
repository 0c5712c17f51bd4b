"""How near the simulated sky comes to the real one: ``python -m benchmarks.realism SAMPLE.csv``.

The sample is the table of real spectroscopic sources described in its own README (PSF magnitudes already
corrected for extinction, WISE magnitudes, class, redshift). Each section prints its figures and whether the goal set
for it is reached; the exit status is 0 only if every goal is.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from galviz.simulate import batch

CLASSES = ("GALAXY", "QSO", "STAR")
OPTICAL = ("u", "g", "r", "i", "z")
WISE = ("w1", "w2", "w3", "w4")
MAGNITUDES = OPTICAL + WISE
COLOURS = tuple(pairwise(MAGNITUDES))
PERCENTILES = (5, 16, 50, 84, 95)
ALL = (*(f"psf_{band}" for band in OPTICAL), *WISE, "resolved_r")
FEATURE_SETS = {
    "SDSS + WISE + resolved_r": ALL,
    "SDSS + WISE": ALL[:9],
    "SDSS": ALL[:5],
    "SDSS + resolved_r": (*ALL[:5], "resolved_r"),
    "WISE": ALL[5:9],
}
# Clarke et al. (2020, A&A 639, A84): F1 of galaxies, quasars, stars; and the fraction with p > 0.9.
PAPER = {
    "SDSS + WISE + resolved_r": (0.991, 0.952, 0.978),
    "SDSS + WISE": (0.987, 0.943, 0.973),
    "SDSS": (0.968, 0.885, 0.922),
    "SDSS + resolved_r": (0.987, 0.936, 0.962),
    "WISE": (0.915, 0.874, 0.563),
}
PAPER_CONFIDENT = (0.70, 0.34, 0.93)
GOAL_COLOUR, GOAL_F1, GOAL_AUC, GOAL_SPEED = 0.15, 0.80, 0.85, 300_000


def real_sample(path: str) -> pd.DataFrame:
    """The real sources: nine magnitudes, `label` (0, 1, 2) and `redshift`."""
    table = pd.read_csv(path)
    frame = pd.DataFrame({band: table[f"mag_{band}"].astype(np.float32) for band in OPTICAL})
    for band in WISE:
        frame[band] = table[band].astype(np.float32)
    frame["label"] = table["class"].map(dict(zip(CLASSES, range(3), strict=True)))
    frame["redshift"] = table["z"]
    return frame


def simulated(rows: int, seed: int = 0, *, labelled: bool = True) -> pd.DataFrame:
    """Simulated sources as the catalogue has them, with `label`."""
    frame = pd.DataFrame(batch(rows, seed, 0, labelled=labelled))
    return frame.rename(columns={"class": "label", "sim_class": "label", "sim_redshift": "redshift"})


def dereddened(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of `real_sample`, PSF magnitudes corrected for extinction."""
    result = pd.DataFrame({band: frame[f"psf_{band}"] - frame[f"ext_{band}"] for band in OPTICAL})
    for name in (*WISE, "label", "redshift"):
        result[name] = frame[name]
    return result


def forest(seed: int = 0) -> RandomForestClassifier:
    return RandomForestClassifier(200, class_weight="balanced", random_state=seed, n_jobs=2)


def quantities(frame: pd.DataFrame) -> pd.DataFrame:
    """Colours, r and redshift."""
    result = pd.DataFrame({f"{a}-{b}": frame[a] - frame[b] for a, b in COLOURS})
    result["r"], result["redshift"] = frame["r"], frame["redshift"]
    return result


def compare_colours(real: pd.DataFrame, simulation: pd.DataFrame) -> float:
    """Print percentiles real, simulated and their difference; the largest difference of a colour's median."""
    worst = 0.0
    for code, name in enumerate(CLASSES):
        pair = [quantities(frame[frame["label"] == code]) for frame in (real, simulation)]
        print(f"\n{name:10s} percentiles {PERCENTILES}: real | simulated | simulated - real")
        for column in pair[0]:
            a, b = (np.percentile(half[column], PERCENTILES) for half in pair)
            print(f"{column:9s}", *(" ".join(f"{x:6.2f}" for x in row) + "  |" for row in (a, b, b - a)))
            if "-" in column:
                worst = max(worst, abs(b[2] - a[2]))
    return float(worst)


def transfer(real: pd.DataFrame, simulation: pd.DataFrame) -> tuple[float, np.ndarray]:
    """Macro F1 and F1 per class of a forest trained on simulated, tested on real sources."""
    model = forest().fit(simulation[list(MAGNITUDES)].to_numpy(), simulation["label"])
    predicted = model.predict(real[list(MAGNITUDES)].to_numpy())
    scores = f1_score(real["label"], predicted, average=None)
    return float(scores.mean()), scores


def matched(real: pd.DataFrame, simulation: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """For each real source one simulated source with nearly its r, without repetition."""
    rng = np.random.default_rng(seed)
    order = np.argsort(simulation["r"].to_numpy())
    r = simulation["r"].to_numpy()[order]
    free = np.ones(len(r), bool)
    chosen = []
    for target in rng.permutation(real["r"].to_numpy()):
        near = np.arange(*np.searchsorted(r, (target - 0.1, target + 0.1)))
        near = near[free[near]]
        if len(near):
            chosen.append(rng.choice(near))
            free[chosen[-1]] = False
    return simulation.iloc[order[chosen]]


def separability(real: pd.DataFrame, simulation: pd.DataFrame) -> float:
    """Five-fold AUC of gradient boosting that tells real from simulated sources: r and the eight colours."""
    half = matched(real, simulation)
    features = pd.concat([quantities(real), quantities(half)]).drop(columns="redshift").to_numpy()
    truth = np.repeat([0, 1], [len(real), len(half)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = HistGradientBoostingClassifier(random_state=0)
    return float(
        roc_auc_score(truth, cross_val_predict(model, features, truth, cv=folds, method="predict_proba")[:, 1])
    )


def feature_order(rows: int) -> dict[str, np.ndarray]:
    """F1 per class for each set of features on one half of `rows` labelled sources, trained on the other half."""
    frame = simulated(rows, seed=1)
    train, test = train_test_split(frame, test_size=0.5, stratify=frame["label"], random_state=0)
    result = {}
    for name, columns in FEATURE_SETS.items():
        model = forest().fit(train[list(columns)].to_numpy(), train["label"])
        result[name] = f1_score(test["label"], model.predict(test[list(columns)].to_numpy()), average=None)
    return result


def in_order(scores: dict[str, np.ndarray]) -> np.ndarray:
    """Per class, whether F1 falls as in the paper."""
    best, both, optical, shape, wise = (scores[name] for name in FEATURE_SETS)
    return (best > both) & (both >= shape) & (shape > optical) & (optical > wise)


def confidence(train_rows: int, rows: int) -> tuple[np.ndarray, ...]:
    """On the unlabelled sky: class mix, predicted mix, fraction with p > 0.9 and F1 per class."""
    labelled, sky = simulated(train_rows, seed=1), simulated(rows, seed=2, labelled=False)
    model = forest().fit(labelled[list(ALL)].to_numpy(), labelled["label"])
    p = model.predict_proba(sky[list(ALL)].to_numpy())
    best, confident = p.argmax(axis=1), p.max(axis=1) > 0.9
    mix = [np.bincount(codes, minlength=3) / rows for codes in (sky["label"], best)]
    return (
        *mix,
        np.array([confident[best == code].mean() for code in range(3)]),
        f1_score(sky["label"], best, average=None),
    )


def speed(parts: int = 8, rows: int = 250_000) -> tuple[float, float]:
    """Rows per second of `batch` in one thread and in two."""
    batch(1000, 0, 0)
    rates = []
    for threads in (1, 2):
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: len(batch(rows, 0, part)), range(parts)))
        rates.append(parts * rows / (time.perf_counter() - start))
    return rates[0], rates[1]


def verdict(text: str, reached: bool) -> bool:
    print(f"{'reached' if reached else 'NOT REACHED'}: {text}")
    return reached


def against_sample(path: str, rows: int) -> list[bool]:
    """Sections that need the real sample."""
    real, simulation = real_sample(path), dereddened(simulated(rows))
    worst = compare_colours(real, simulation)
    print()
    results = [
        verdict(f"largest difference of a median colour {worst:.3f} mag, goal {GOAL_COLOUR}", worst <= GOAL_COLOUR)
    ]
    macro, scores = transfer(real, simulation)
    results.append(
        verdict(
            f"forest from simulated to real sources: macro F1 {macro:.3f} {np.round(scores, 3)}, goal {GOAL_F1}",
            macro >= GOAL_F1,
        )
    )
    for code, name in enumerate(CLASSES):
        auc = separability(*(frame[frame["label"] == code] for frame in (real, simulation)))
        results.append(verdict(f"real against simulated {name}: AUC {auc:.3f}, goal {GOAL_AUC}", auc <= GOAL_AUC))
    return results


def on_its_own(rows: int) -> list[bool]:
    """Sections about the simulation alone."""
    scores = feature_order(rows)
    print(f"\nF1 with each set of features, {rows} labelled rows: galaxy, quasar, star (published)")
    for name, row in scores.items():
        print(f"{name:26s}", np.round(row, 4), PAPER[name])
    ordered = in_order(scores)
    results = [verdict(f"order of the feature sets as published, per class {ordered}", bool(ordered.all()))]
    mix, predicted, confident, f1 = confidence(rows, 2 * rows)
    print("\nunlabelled mix", np.round(mix, 3), "predicted", np.round(predicted, 3), "F1", np.round(f1, 3))
    print("fraction with p > 0.9", np.round(confident, 3), "published", PAPER_CONFIDENT)
    one, two = speed()
    results.append(
        verdict(f"batch: {one:,.0f} rows/s in one thread, {two:,.0f} in two, goal {GOAL_SPEED:,}", two >= GOAL_SPEED)
    )
    return results


def main(arguments: list[str] | None = None) -> int:
    """Print every section; 0 if all goals are reached, else 1."""
    parser = argparse.ArgumentParser(description="Compare the simulated sky with real sources.")
    parser.add_argument("sample", nargs="?", help="CSV of real sources; without it only the simulation is examined")
    parser.add_argument("--rows", type=int, default=80_000, help="labelled rows to simulate")
    options = parser.parse_args(arguments)
    results = against_sample(options.sample, options.rows) if options.sample else []
    results += on_its_own(options.rows)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
