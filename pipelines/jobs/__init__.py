"""Long work outside the pages: runs on disk, the worker, and where it is started."""
