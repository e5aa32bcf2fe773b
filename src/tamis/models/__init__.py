"""The decoder, the training loop, checkpoints: what a proof trains. Needs the extra `train`."""
