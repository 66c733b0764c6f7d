"""Where a run is started: on this machine, later on a cluster."""
