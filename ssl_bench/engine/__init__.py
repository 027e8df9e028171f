"""Running a cell: pre-training, evaluation, and what both rest on."""
