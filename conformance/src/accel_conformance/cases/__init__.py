"""The cases. A file is named after its area: ``<area>.py`` or ``<area>_<topic>.py``."""
