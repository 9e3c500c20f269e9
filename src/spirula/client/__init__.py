"""A client's session with a cluster: finding monitors, maps, commands; the objecter comes later."""
