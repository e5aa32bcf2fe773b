"""Proof: what models trained on corpora say: evaluation, comparison, scaling laws, trends and claims."""
