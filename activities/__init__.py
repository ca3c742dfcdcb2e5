"""The outside: thin adapters between what the workflows need and the world."""
