"""``a2po doctor``: does everything that is installed work, and if not, which one command mends the first cause?

Checks run in child processes, so that one which crashes is a finding. The standard library is enough: ``python -m a2po.doctor`` works
where the command line's own packages do not.
"""
