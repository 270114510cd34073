"""From sampled paths to what training reads: budgets, token ids, Parquet with a card, a small tokenizer.

Light to import. The parts that need pyarrow or transformers are submodules to import by name:
`write.write_dataset`, `read.load_samples`, `tokenizer.train_tokenizer`, `tokenise.load_tokenizer`.
"""

from steiner.dataset.budget import DropReason, TokenBudget
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.statistics import (
    DatasetStatistics,
    Distribution,
    SplitStatistics,
    Tally,
    load_statistics,
)

__all__ = [
    "DatasetSettings",
    "DatasetStatistics",
    "Distribution",
    "DropReason",
    "SplitStatistics",
    "Tally",
    "TokenBudget",
    "load_statistics",
]
