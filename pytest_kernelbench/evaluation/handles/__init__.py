"""The judge's handles on its workers: their start, the requests to them, the memory that both see, their end."""
