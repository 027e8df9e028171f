"""The embedded cohorts: subjects grown from one real anatomy by warps, appearance changes and pathology.

Semi-real: subjects of one cohort share an identity. Good for comparing methods and testing, not for clinical claims.

Coordinates are millimetres in the frame of the anatomy, ordered (z, y, x) = (superior, anterior, right); the centre of
voxel (0, 0, 0) is the origin. A subject grows in three steps: `warps` says which point of the anatomy each voxel shows,
`sampling` reads image and labels there, and `thorax` with `ct` (or `mr`) change tissue and then image it.
"""
