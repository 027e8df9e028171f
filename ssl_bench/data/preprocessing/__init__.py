"""From files to memory-mapped arrays: made once, in parallel, and never used when stale."""
