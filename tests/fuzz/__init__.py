"""The whole surface of a real service, called in every way that its own document allows."""
