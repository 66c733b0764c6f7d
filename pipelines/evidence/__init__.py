"""Everything that is needed to believe a run and to repeat it."""
