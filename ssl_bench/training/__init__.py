"""What a cell computes: pre-training, evaluation, and what both rest on."""
