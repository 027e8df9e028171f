"""Numbers that others published, as data; never an input of a statistic."""
