"""A SLURM cluster: what a job asks for, the files for `sbatch`, the queue, and what runs on a node."""
