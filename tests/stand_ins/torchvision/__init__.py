"""All of torchvision that SpikingJelly's model zoo imports: one function to download weights."""
