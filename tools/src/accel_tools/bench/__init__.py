"""``accel bench``: what moves how fast on a backend, next to a plain copy of the same bytes.

One row is a :class:`~.workload.Workload`, in a file of ``families/``; ``suites.py`` lists which
run. ``workload.py`` checks and measures one, ``measure.py`` has the clocks, ``report.py`` the
table and the JSON. Everything goes through the contract: no file here knows a vendor.
"""
