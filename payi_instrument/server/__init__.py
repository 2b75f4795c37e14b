"""The meter as a service of its own: its REST surface over HTTP, and the description of that surface."""
