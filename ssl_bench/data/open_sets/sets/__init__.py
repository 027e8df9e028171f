"""One family of open data sets a file; whatever `OpenSet` a file lists in `SETS` has its name on the command line."""
