"""The zygote and the worker of a cell node: restore a checkpoint once, fork instances, execute requests."""
