"""What the viewer's panel of models asks for, at ``/api/ai``."""
