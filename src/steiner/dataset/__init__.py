"""From sampled paths to what training reads: token budgets, token ids, Parquet with a card, a small tokenizer."""
