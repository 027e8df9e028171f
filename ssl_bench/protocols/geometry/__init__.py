"""What protocols without a gradient share: descriptors, controls, pairs of cases, nearest neighbours."""
