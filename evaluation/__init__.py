"""Playing what was exported: the evaluation protocol, its statistics, plots and the report."""
