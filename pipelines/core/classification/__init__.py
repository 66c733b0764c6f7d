"""Classification of many small pictures: one code for patches, cells and a user's own folders."""
