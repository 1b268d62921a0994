"""The directory's facts inside another service's database (design section 3).

A state is kept by its highest version of the latest incarnation: order, gaps and repeats do not
matter. No process caches a row.
"""
