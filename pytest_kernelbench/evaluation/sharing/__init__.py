"""How judges share a device: locks, who holds it alone or beside others, and letting others pass."""
