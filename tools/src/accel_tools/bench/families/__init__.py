"""The workloads, a file for each family: functions that yield :class:`..workload.Workload`."""
