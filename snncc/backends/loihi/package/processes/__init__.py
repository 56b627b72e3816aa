"""The processes Lava does not have. Lava executes every file here when it looks for models."""
