"""What a training script or a checkpoint says of its network, read without running anything."""
