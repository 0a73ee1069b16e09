"""A model on several devices: what its split computes, what travels over links, and how long a step takes."""
