"""Random transforms of volumes: batched tensor code that runs on whatever device the volumes are on."""
