"""The downstream tasks, one file each; importable as `ssl_bench.tasks.<name>`."""
