"""The launcher's own code: started by its path with nothing but the stdlib; the worker shares its way to end trees."""
