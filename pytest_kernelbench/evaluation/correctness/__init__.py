"""Is an output right: the reference, the inputs it is asked on, and how far an answer may be off."""
