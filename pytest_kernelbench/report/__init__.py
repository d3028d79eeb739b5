"""Numbers and pages from records alone: nothing here needs a GPU, and nothing here changes a record."""
