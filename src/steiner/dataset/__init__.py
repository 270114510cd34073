"""From sampled paths to what training reads: budgets, token ids, Parquet with a card, a small tokenizer."""
