"""Two real anatomies shipped as data: a contrast chest CT with heart labels, and an average T1 head with brain labels.

Data, not code: LICENSES.md beside this file says where each volume comes from and under which terms.
"""
