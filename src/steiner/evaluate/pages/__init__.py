"""The report of one evaluation: what is on its page, the samples in it, and a section for a model card."""
