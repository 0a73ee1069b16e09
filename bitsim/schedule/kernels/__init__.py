"""The closed form of one tile loop nest, compiled."""
