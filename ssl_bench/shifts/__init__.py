"""Graded shifts of test cases: what another scanner, protocol or position would have made of the same patient."""
